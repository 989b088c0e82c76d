"""Asks the parts of the demo whether they are there."""

import urllib.error
import urllib.request

import redis

# Straight to this machine, whatever proxy the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_answers(url: str) -> bool:
    """It answers 200."""
    try:
        with _opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def redis_answers(redis_url: str) -> bool:
    try:
        with redis.Redis.from_url(redis_url, socket_connect_timeout=3) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def worker_listens(redis_url: str) -> bool:
    """Somebody waits for the next task: the broker sees a blocked pop."""
    try:
        with redis.Redis.from_url(redis_url) as client:
            return any(found["cmd"] == "brpop" for found in client.client_list())
    except redis.RedisError:
        return False
