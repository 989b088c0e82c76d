/* A provider that costs almost nothing to ask: what stands in front of it is measured.
 *
 *   stub PORT       listens on 127.0.0.1; one thread, epoll, keep-alive
 *
 * POST …           a chat completion of the model `stub-<events>-<pace>`, JSON or, with
 *                  `"stream": true`, server-sent events. The pace is `0` (one write an event,
 *                  other connections in between), `b` (all in one write) or milliseconds
 *                  between events. A stream is role, <events> words, finish, usage, [DONE].
 * GET /stats       {"requests": …, "streams": …, "aborted": …}
 * GET …            the list of models
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROMPT_TOKENS 24
#define EVENTS_MAX 100000
#define REQUEST_BYTES_MAX (16 << 20)
#define READ_BYTES 65536
#define WAKES 1024
#define MS 1000000LL

enum kind { JSON_ANSWER, STREAM };

struct bytes {
    char *data;
    size_t start, end, room;
};

struct connection {
    int fd;
    int answering, waiting, gone, wants_write;
    enum kind kind;
    int events, sent, burst;
    int64_t pace, due;
    char model[64];
    struct bytes in, out;
    struct connection *next;
};

static int poller;
static int64_t now;
static unsigned long requests, streams, aborted;
static struct connection *ready, **ready_end = &ready;
static struct connection **heap;
static size_t heap_size, heap_room;

static const char MODELS[] =
    "{\"object\":\"list\",\"data\":["
    "{\"id\":\"stub-64-0\",\"object\":\"model\",\"created\":1,\"owned_by\":\"stub\"},"
    "{\"id\":\"stub-64-10\",\"object\":\"model\",\"created\":1,\"owned_by\":\"stub\"},"
    "{\"id\":\"stub-8-10\",\"object\":\"model\",\"created\":1,\"owned_by\":\"stub\"},"
    "{\"id\":\"stub-64-b\",\"object\":\"model\",\"created\":1,\"owned_by\":\"stub\"}]}";

static int64_t clock_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000 * MS + at.tv_nsec;
}

static void *need(void *memory)
{
    if (!memory) {
        fputs("stub: no memory left\n", stderr);
        exit(1);
    }
    return memory;
}

/* Bytes */

static void reserve(struct bytes *b, size_t more)
{
    if (b->start == b->end)
        b->start = b->end = 0;
    if (b->end + more <= b->room)
        return;
    b->room = (b->end + more) * 2;
    b->data = need(realloc(b->data, b->room));
}

static void add(struct bytes *b, const void *data, size_t length)
{
    reserve(b, length);
    memcpy(b->data + b->end, data, length);
    b->end += length;
}

static void add_text(struct bytes *b, const char *format, ...)
{
    char text[2048];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    add(b, text, (size_t)length);
}

static void add_event(struct bytes *b, const char *format, ...)
{
    char text[2048];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    add_text(b, "%x\r\ndata: ", length + 8);
    add(b, text, (size_t)length);
    add(b, "\n\n\r\n", 4);
}

/* Answers */

static void add_chunk(struct connection *c, const char *delta, const char *finish)
{
    add_event(&c->out,
              "{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"created\":1,"
              "\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":%s,\"logprobs\":null,"
              "\"finish_reason\":%s}]}",
              c->model, delta, finish);
}

static void add_usage(struct connection *c)
{
    add_event(&c->out,
              "{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"created\":1,"
              "\"model\":\"%s\",\"choices\":[],\"usage\":{\"prompt_tokens\":%d,"
              "\"completion_tokens\":%d,\"total_tokens\":%d}}",
              c->model, PROMPT_TOKENS, c->events, PROMPT_TOKENS + c->events);
}

/* The next event of a stream; after the last one it is not answering any more. */
static void add_next(struct connection *c)
{
    int number = c->sent++;
    if (number < c->events) {
        char delta[64];
        snprintf(delta, sizeof delta, "{\"content\":\" word%d\"}", number);
        add_chunk(c, delta, "null");
    } else if (number == c->events) {
        add_chunk(c, "{}", "\"stop\"");
    } else if (number == c->events + 1) {
        add_usage(c);
    } else {
        add_event(&c->out, "[DONE]");
        add(&c->out, "0\r\n\r\n", 5);
        c->answering = 0;
    }
}

static void add_json(struct connection *c, const char *body, size_t length)
{
    add_text(&c->out,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             length);
    add(&c->out, body, length);
}

static void add_whole(struct connection *c)
{
    char body[2048];
    int length = snprintf(
        body, sizeof body,
        "{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"%s\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"A stub answers "
        "at once, says the same each time, and knows nothing. It says so in a sentence that is as "
        "long as a short answer of a model, and in another one, so that the body has its size.\","
        "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
        "\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}}",
        c->model, PROMPT_TOKENS, c->events, PROMPT_TOKENS + c->events);
    add_json(c, body, (size_t)length);
}

/* Waiting: `ready` for the next turn of the loop, the heap for a moment. */

static void swap(size_t a, size_t b)
{
    struct connection *kept = heap[a];
    heap[a] = heap[b];
    heap[b] = kept;
}

static void push(struct connection *c)
{
    if (heap_size == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = need(realloc(heap, heap_room * sizeof *heap));
    }
    size_t at = heap_size++;
    heap[at] = c;
    for (; at && heap[at]->due < heap[(at - 1) / 2]->due; at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static struct connection *pop(void)
{
    struct connection *first = heap[0];
    heap[0] = heap[--heap_size];
    for (size_t at = 0;;) {
        size_t least = at, left = 2 * at + 1;
        for (size_t child = left; child <= left + 1 && child < heap_size; child++)
            if (heap[child]->due < heap[least]->due)
                least = child;
        if (least == at)
            return first;
        swap(at, least);
        at = least;
    }
}

static void wait_for_turn(struct connection *c)
{
    c->waiting = 1;
    if (!c->pace) {
        c->next = NULL;
        *ready_end = c;
        ready_end = &c->next;
        return;
    }
    /* The pace holds on average; who fell behind by more than one event starts it anew. */
    c->due = c->due + c->pace > now ? c->due + c->pace : now + c->pace;
    push(c);
}

/* Connections */

static void release(struct connection *c)
{
    free(c->in.data);
    free(c->out.data);
    free(c);
}

static void hang_up(struct connection *c)
{
    aborted += (unsigned long)c->answering;
    close(c->fd);
    c->gone = 1;
    if (!c->waiting)
        release(c);
}

static void listen_for(struct connection *c, int write)
{
    struct epoll_event wish = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (c->wants_write != write)
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &wish);
    c->wants_write = write;
}

static int flush(struct connection *c)
{
    while (c->out.start < c->out.end) {
        ssize_t sent =
            send(c->fd, c->out.data + c->out.start, c->out.end - c->out.start, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return 0;
        c->out.start += (size_t)sent;
    }
    listen_for(c, c->out.start < c->out.end);
    return 1;
}

static void emit(struct connection *c)
{
    if (c->kind == JSON_ANSWER) {
        add_whole(c);
        c->answering = 0;
        return;
    }
    do
        add_next(c);
    while (c->burst && c->answering);
}

static void begin(struct connection *c, const char *body)
{
    const char *named = strstr(body, "\"model\""), *streamed = strstr(body, "\"stream\"");
    strcpy(c->model, "stub-64-0");
    if (named)
        sscanf(named + 7, " : \"%63[^\"]", c->model);
    char pace[16] = "0", flag[5] = "";
    c->events = 64;
    const char *shape = strstr(c->model, "stub-");
    if (shape)
        sscanf(shape, "stub-%d-%15s", &c->events, pace);
    if (c->events < 0 || c->events > EVENTS_MAX)
        c->events = 64;
    if (streamed)
        sscanf(streamed + 8, " : %4[a-z]", flag);
    c->kind = strcmp(flag, "true") ? JSON_ANSWER : STREAM;
    c->burst = pace[0] == 'b';
    c->pace = atoi(pace) * MS;
    c->due = now;
    c->sent = 0;
    c->answering = 1;
    requests++;
    if (c->kind == STREAM) {
        streams++;
        add_text(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                          "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
        add_chunk(c, "{\"role\":\"assistant\",\"content\":\"\"}", "null");
        if (!c->burst)
            wait_for_turn(c);
    } else if (c->pace) {
        wait_for_turn(c);
    }
    if (!c->waiting)
        emit(c);
}

/* The length of the request that `in` begins with, 0 while it is not whole. */
static size_t whole(struct bytes *in, char **body)
{
    reserve(in, 1);
    in->data[in->end] = 0;
    char *head = in->data + in->start, *end = strstr(head, "\r\n\r\n");
    if (!end)
        return 0;
    size_t there = in->end - in->start, length = (size_t)(end + 4 - head);
    *body = end + 4;
    *end = 0;
    char *stated = strcasestr(head, "\ncontent-length:");
    int chunked = strcasestr(head, "\ntransfer-encoding: chunked") != NULL;
    *end = '\r';
    if (chunked) {
        char *last = strstr(*body, "0\r\n\r\n");
        return last ? (size_t)(last + 5 - head) : 0;
    }
    if (stated)
        length += strtoul(stated + 16, NULL, 10);
    return there >= length ? length : 0;
}

static void answer(struct connection *c)
{
    char *body;
    size_t length;
    while (!c->answering && c->in.start < c->in.end && (length = whole(&c->in, &body))) {
        char *head = c->in.data + c->in.start, *end = head + length, kept = *end;
        *end = 0;
        if (!strncmp(head, "GET /stats", 10)) {
            char text[128];
            int size = snprintf(text, sizeof text,
                                "{\"requests\":%lu,\"streams\":%lu,\"aborted\":%lu}", requests,
                                streams, aborted);
            add_json(c, text, (size_t)size);
        } else if (!strncmp(head, "GET ", 4)) {
            add_json(c, MODELS, sizeof MODELS - 1);
        } else {
            begin(c, body);
        }
        *end = kept;
        c->in.start += length;
    }
}

static void turn(struct connection *c)
{
    c->waiting = 0;
    if (c->gone) {
        release(c);
        return;
    }
    emit(c);
    if (c->answering)
        wait_for_turn(c);
    else
        answer(c);
    if (!flush(c))
        hang_up(c);
}

static void on_wake(struct connection *c, uint32_t events)
{
    if (events & ~(uint32_t)EPOLLOUT) {
        reserve(&c->in, READ_BYTES);
        ssize_t got = recv(c->fd, c->in.data + c->in.end, READ_BYTES, 0);
        if (got > 0)
            c->in.end += (size_t)got;
        if (!got || (got < 0 && errno != EAGAIN) || c->in.end > REQUEST_BYTES_MAX) {
            hang_up(c);
            return;
        }
        answer(c);
    }
    if (!flush(c))
        hang_up(c);
}

static void welcome(int door)
{
    int fd, yes = 1;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = need(calloc(1, sizeof *c));
        struct epoll_event wish = {.events = EPOLLIN, .data.ptr = c};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        c->fd = fd;
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wish);
    }
}

static int open_door(int port)
{
    int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    struct sockaddr_in place = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event wish = {.events = EPOLLIN, .data.ptr = NULL};
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(door, (struct sockaddr *)&place, sizeof place) || listen(door, 4096)) {
        perror("stub");
        exit(1);
    }
    poller = epoll_create1(0);
    epoll_ctl(poller, EPOLL_CTL_ADD, door, &wish);
    return door;
}

static int patience(void)
{
    if (ready)
        return 0;
    if (!heap_size)
        return -1;
    int64_t left = heap[0]->due - clock_ns();
    return left <= 0 ? 0 : (int)((left + MS - 1) / MS);
}

int main(int count, char **values)
{
    if (count != 2) {
        fputs("usage: stub PORT\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int door = open_door(atoi(values[1]));
    struct epoll_event woken[WAKES];
    for (;;) {
        int wakes = epoll_wait(poller, woken, WAKES, patience());
        now = clock_ns();
        /* Before the turns, in which a connection may end that is in `woken`. */
        for (int i = 0; i < wakes; i++)
            if (!woken[i].data.ptr)
                welcome(door);
            else
                on_wake(woken[i].data.ptr, woken[i].events);
        while (heap_size && heap[0]->due <= now)
            turn(pop());
        struct connection *next, *these = ready;
        ready = NULL;
        ready_end = &ready;
        for (; these; these = next) {
            next = these->next;
            turn(these);
        }
    }
}
