/* A closed-loop driver: each connection asks again when it has the whole answer.
 *
 *   load --port N [--path P] --clients N --seconds S [--warm-up S] [--ramp S] [--stream]
 *        [--body FILE] [--header 'Name: value']… [--users N] [--keys] [--expect TEXT]
 *
 * One thread, epoll, connections that are kept, 127.0.0.1. What began is ended before it stops,
 * so that no answer is cut. Prints one JSON object; times are milliseconds.
 *
 *   --ramp    first questions are spread evenly over so many seconds
 *   --users   X-Paywall-User is bench:0 … bench:N-1, in turn
 *   --keys    each question has an Idempotency-Key of its own
 *   --expect  what the body of every answer must contain, within its first 4 kB
 *
 * Failed is an answer that is not 2xx, is cut, lacks what is expected or, with --stream, [DONE].
 * A time runs from before the question is written until its last byte (first event, …) is read.
 * A gap lies between two reads that completed at least one event of the same answer each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 8192
#define KEPT_BYTES 4096
#define LINE_BYTES 16
#define READ_BYTES (256 << 10)
#define WAKES 1024
#define DRAIN_S 30
#define SECOND 1000000000LL

enum framing { UNKNOWN, LENGTH, CHUNKED, UNTIL_CLOSE };
enum chunk { SIZE, DATA, DATA_END, TRAILER };

struct connection {
    int fd, asking, wants_write;
    int64_t first_ask, began, first_event, last_event;
    /* The question. */
    char head[HEAD_BYTES];
    size_t head_bytes, sent;
    /* The answer. */
    char answer[HEAD_BYTES];
    size_t answer_bytes;
    int status, closes;
    enum framing framing;
    enum chunk chunk;
    long long left;
    char kept[KEPT_BYTES + 1];
    size_t kept_bytes;
    /* The line of a stream or of chunked framing that is being read. */
    char line[LINE_BYTES];
    size_t line_bytes;
    char frame[LINE_BYTES + 1];
    size_t frame_bytes;
    int done;
};

struct times {
    float *values;
    size_t count, room;
};

static struct options {
    int port, clients, stream, keys;
    unsigned long users;
    double seconds, warm_up, ramp;
    const char *path, *body_file, *expect;
    char headers[4096];
} options = {.path = "/v1/chat/completions", .clients = 1, .seconds = 1, .expect = ""};

static struct times latencies, first_events, gaps;
static unsigned long ok, failed, answered, events, reconnects, sequence;
static char example[KEPT_BYTES];
static char *body;
static size_t body_bytes;
static int poller, asking;
static int64_t starts, warm, ends;
static char run_id[32];

static int64_t clock_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * SECOND + at.tv_nsec;
}

static void give_up(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Figures */

static void note(struct times *t, int64_t ns)
{
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 65536;
        t->values = realloc(t->values, t->room * sizeof *t->values);
        if (!t->values)
            give_up("memory");
    }
    t->values[t->count++] = (float)((double)ns / 1e6);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The smallest value that so large a share does not exceed; sorts first. */
static double percentile(struct times *t, double share)
{
    if (!t->count)
        return 0;
    qsort(t->values, t->count, sizeof *t->values, by_value);
    size_t at = (size_t)(share * (double)t->count);
    return t->values[at < t->count ? at : t->count - 1];
}

static double own_cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* Connections */

static void listen_for(struct connection *c, int write, int operation)
{
    struct epoll_event wish = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &wish))
        give_up("epoll");
    c->wants_write = write;
}

static void connect_to_target(struct connection *c)
{
    int yes = 1;
    struct sockaddr_in place = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)options.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&place, sizeof place))
        give_up("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    listen_for(c, 0, EPOLL_CTL_ADD);
}

static void send_rest(struct connection *c)
{
    size_t total = c->head_bytes + body_bytes;
    while (c->sent < total) {
        size_t of_body = c->sent > c->head_bytes ? c->sent - c->head_bytes : 0;
        size_t of_head = c->sent - of_body;
        struct iovec parts[] = {{c->head + of_head, c->head_bytes - of_head},
                                {body + of_body, body_bytes - of_body}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (sent < 0)
            break; /* Full, or gone: reading tells which. */
        c->sent += (size_t)sent;
    }
    if (c->wants_write != (c->sent < total))
        listen_for(c, c->sent < total, EPOLL_CTL_MOD);
}

static void ask(struct connection *c)
{
    unsigned long number = sequence++;
    char user[64] = "", key[96] = "";
    if (options.users)
        snprintf(user, sizeof user, "X-Paywall-User: bench:%lu\r\n", number % options.users);
    if (options.keys)
        snprintf(key, sizeof key, "Idempotency-Key: %s-%lu\r\n", run_id, number);
    c->head_bytes = (size_t)snprintf(
        c->head, sizeof c->head,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%sContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n",
        options.path, options.port, options.headers, user, key, body_bytes);
    c->sent = c->answer_bytes = c->kept_bytes = c->line_bytes = c->frame_bytes = 0;
    c->status = c->closes = c->done = 0;
    c->framing = UNKNOWN;
    c->chunk = SIZE;
    c->first_event = c->last_event = 0;
    c->asking = 1;
    asking++;
    c->began = clock_ns();
    send_rest(c);
}

static int is_good(struct connection *c, int is_whole)
{
    c->kept[c->kept_bytes] = 0;
    return is_whole && c->status >= 200 && c->status < 300 && (!options.stream || c->done) &&
           (!*options.expect || memmem(c->kept, c->kept_bytes, options.expect,
                                       strlen(options.expect)));
}

static void end_answer(struct connection *c, int is_whole, int64_t now)
{
    int good = is_good(c, is_whole);
    c->asking = 0;
    asking--;
    answered++;
    if (!good) {
        failed++;
        if (!example[0])
            snprintf(example, sizeof example, "%d%s: %.300s", c->status,
                     is_whole ? "" : " (cut)", c->kept);
    } else if (now >= warm && now <= ends) {
        ok++;
        note(&latencies, now - c->began);
        if (c->first_event)
            note(&first_events, c->first_event - c->began);
    }
    if (c->closes || !is_whole) {
        close(c->fd);
        reconnects++;
        if (now < ends)
            connect_to_target(c);
    }
    if (now < ends)
        ask(c);
}

/* Answers */

static void end_line(struct connection *c, int64_t now)
{
    int is_event = c->line_bytes > 5 && !memcmp(c->line, "data:", 5);
    c->done |= is_event && memmem(c->line, c->line_bytes, "[DONE]", 6) != NULL;
    c->line_bytes = 0;
    if (!is_event)
        return;
    if (now >= warm && now <= ends) {
        events++;
        if (c->last_event && c->last_event < now)
            note(&gaps, now - c->last_event);
    }
    if (!c->first_event)
        c->first_event = now;
    c->last_event = now;
}

static void take_body(struct connection *c, const char *data, size_t length, int64_t now)
{
    size_t room = KEPT_BYTES - c->kept_bytes, kept = length < room ? length : room;
    memcpy(c->kept + c->kept_bytes, data, kept);
    c->kept_bytes += kept;
    while (options.stream && length) {
        const char *end = memchr(data, '\n', length);
        size_t piece = end ? (size_t)(end - data) : length;
        size_t fits = LINE_BYTES - c->line_bytes;
        fits = fits < piece ? fits : piece;
        memcpy(c->line + c->line_bytes, data, fits);
        c->line_bytes += fits;
        if (!end)
            return;
        end_line(c, now);
        data += piece + 1;
        length -= piece + 1;
    }
}

/* A line of chunked framing; true when the last one ends the answer. */
static int end_frame_line(struct connection *c)
{
    c->frame[c->frame_bytes] = 0;
    int is_empty = !c->frame_bytes || c->frame[0] == '\r';
    c->frame_bytes = 0;
    if (c->chunk == SIZE) {
        c->left = strtoll(c->frame, NULL, 16);
        c->chunk = c->left ? DATA : TRAILER;
        return 0;
    }
    if (c->chunk == DATA_END)
        c->chunk = SIZE;
    return c->chunk == TRAILER && is_empty;
}

static int take_chunked(struct connection *c, const char *data, size_t length, int64_t now)
{
    while (length) {
        if (c->chunk == DATA) {
            size_t piece = (long long)length < c->left ? length : (size_t)c->left;
            take_body(c, data, piece, now);
            c->left -= (long long)piece;
            data += piece;
            length -= piece;
            if (!c->left)
                c->chunk = DATA_END;
            continue;
        }
        char letter = *data++;
        length--;
        if (letter == '\n') {
            if (end_frame_line(c))
                return 1;
        } else if (c->frame_bytes < LINE_BYTES) {
            c->frame[c->frame_bytes++] = letter;
        }
    }
    return 0;
}

/* Reads the head out of `answer`; how many of its bytes were of the body, or -1. */
static long read_head(struct connection *c)
{
    c->answer[c->answer_bytes] = 0;
    char *end = strstr(c->answer, "\r\n\r\n"), *found;
    if (!end)
        return -1;
    *end = 0;
    sscanf(c->answer, "HTTP/1.%*c %d", &c->status);
    c->closes = strcasestr(c->answer, "\nconnection: close") != NULL;
    c->framing = UNTIL_CLOSE;
    if ((found = strcasestr(c->answer, "\ntransfer-encoding:")) && strcasestr(found, "chunked")) {
        c->framing = CHUNKED;
    } else if ((found = strcasestr(c->answer, "\ncontent-length:"))) {
        c->framing = LENGTH;
        c->left = atoll(found + 16);
    }
    return (long)(c->answer_bytes - (size_t)(end + 4 - c->answer));
}

/* True when the answer is whole. */
static int take(struct connection *c, const char *data, size_t length, int64_t now)
{
    if (c->framing == UNKNOWN) {
        size_t room = sizeof c->answer - 1 - c->answer_bytes;
        size_t copied = length < room ? length : room;
        memcpy(c->answer + c->answer_bytes, data, copied);
        c->answer_bytes += copied;
        long of_body = read_head(c);
        if (of_body < 0)
            return 0;
        data += copied - (size_t)of_body;
        length -= copied - (size_t)of_body;
    }
    if (c->framing == CHUNKED)
        return take_chunked(c, data, length, now);
    take_body(c, data, length, now);
    c->left -= (long long)length;
    return c->framing == LENGTH && c->left <= 0;
}

static void on_readable(struct connection *c)
{
    static char buffer[READ_BYTES];
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    int64_t now = clock_ns();
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0) {
        if (c->asking && take(c, buffer, (size_t)got, now))
            end_answer(c, 1, now);
        return;
    }
    c->closes = 1;
    if (c->asking) {
        end_answer(c, !got && c->framing == UNTIL_CLOSE, now);
    } else {
        /* Hung up before its first question, or after its last one. */
        close(c->fd);
        if (now < ends)
            connect_to_target(c);
    }
}

/* The run */

static void read_body(void)
{
    FILE *file = fopen(options.body_file, "rb");
    if (!file)
        give_up(options.body_file);
    fseek(file, 0, SEEK_END);
    body_bytes = (size_t)ftell(file);
    rewind(file);
    body = malloc(body_bytes + 1);
    if (!body || fread(body, 1, body_bytes, file) != body_bytes)
        give_up(options.body_file);
    fclose(file);
}

static void print_text(const char *text)
{
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else if (*at < 32 || *at > 126)
            printf("\\u%04x", *at);
        else
            putchar(*at);
    putchar('"');
}

static void report(double cpu)
{
    double window = (double)(ends - warm) / 1e9;
    printf("{\"clients\":%d,\"seconds\":%.3f,\"answered\":%lu,\"ok\":%lu,\"failed\":%lu,"
           "\"reconnects\":%lu,\"per_second\":%.2f,\"events_per_second\":%.1f,",
           options.clients, window, answered, ok, failed, reconnects, (double)ok / window,
           (double)events / window);
    printf("\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"first_event_p50_ms\":%.4f,"
           "\"first_event_p99_ms\":%.4f,\"gap_p50_ms\":%.4f,\"gap_p99_ms\":%.4f,",
           percentile(&latencies, 0.5), percentile(&latencies, 0.99),
           percentile(&first_events, 0.5), percentile(&first_events, 0.99),
           percentile(&gaps, 0.5), percentile(&gaps, 0.99));
    printf("\"driver_cpu\":%.3f,\"example\":", cpu / window);
    print_text(example);
    puts("}");
}

static void read_options(int count, char **values)
{
    for (int i = 1; i < count; i++) {
        const char *name = values[i];
        if (!strcmp(name, "--stream")) {
            options.stream = 1;
            continue;
        }
        if (!strcmp(name, "--keys")) {
            options.keys = 1;
            continue;
        }
        if (i + 1 == count) {
            fprintf(stderr, "load: %s needs a value\n", name);
            exit(2);
        }
        const char *value = values[++i];
        size_t used = strlen(options.headers);
        if (!strcmp(name, "--port"))
            options.port = atoi(value);
        else if (!strcmp(name, "--path"))
            options.path = value;
        else if (!strcmp(name, "--clients"))
            options.clients = atoi(value);
        else if (!strcmp(name, "--seconds"))
            options.seconds = atof(value);
        else if (!strcmp(name, "--warm-up"))
            options.warm_up = atof(value);
        else if (!strcmp(name, "--ramp"))
            options.ramp = atof(value);
        else if (!strcmp(name, "--body"))
            options.body_file = value;
        else if (!strcmp(name, "--users"))
            options.users = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--expect"))
            options.expect = value;
        else if (!strcmp(name, "--header"))
            snprintf(options.headers + used, sizeof options.headers - used, "%s\r\n", value);
        else {
            fprintf(stderr, "load: unknown option %s\n", name);
            exit(2);
        }
    }
}

/* Asks the first questions that are due; how many milliseconds until the next one. */
static int begin_due(struct connection *connections, int *begun, int64_t now)
{
    while (*begun < options.clients && connections[*begun].first_ask <= now)
        ask(&connections[(*begun)++]);
    return *begun < options.clients ? 1 : 20;
}

int main(int count, char **values)
{
    read_options(count, values);
    if (options.body_file)
        read_body();
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    struct connection *all = calloc((size_t)options.clients, sizeof *all);
    if (!all || poller < 0)
        give_up("start");
    for (int i = 0; i < options.clients; i++)
        connect_to_target(&all[i]);
    starts = clock_ns();
    snprintf(run_id, sizeof run_id, "%llx", (long long)starts);
    for (int i = 0; i < options.clients; i++)
        all[i].first_ask = starts + (int64_t)(options.ramp * 1e9 * i / options.clients);
    warm = starts + (int64_t)(options.warm_up * 1e9);
    ends = warm + (int64_t)(options.seconds * 1e9);
    int begun = 0, is_warm = 0;
    double cpu_before = 0, cpu = -1;
    struct epoll_event woken[WAKES];
    for (int64_t now = starts; now < ends || asking; now = clock_ns()) {
        if (now >= warm && !is_warm) {
            is_warm = 1;
            cpu_before = own_cpu();
        }
        if (now >= ends && cpu < 0)
            cpu = own_cpu() - cpu_before;
        if (now >= ends + DRAIN_S * SECOND) {
            failed += (unsigned long)asking;
            snprintf(example, sizeof example, "%d without an end after %d s", asking, DRAIN_S);
            break;
        }
        int patience = now < ends ? begin_due(all, &begun, now) : 20;
        int wakes = epoll_wait(poller, woken, WAKES, patience);
        for (int i = 0; i < wakes; i++) {
            struct connection *c = woken[i].data.ptr;
            if (woken[i].events & EPOLLOUT)
                send_rest(c);
            if (woken[i].events & ~(uint32_t)EPOLLOUT)
                on_readable(c);
        }
    }
    if (cpu < 0)
        cpu = own_cpu() - cpu_before;
    report(cpu);
    return 0;
}
