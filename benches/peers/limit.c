/* What is surely possible: an NBD server that appends every write to its own journal and, over TCP,
 * to a second one, and answers when both have it. No recovery, no checks, no volume: reads give
 * zeroes. It is a yardstick for this machine, not a program to keep data with.
 *
 * limit second PORT JOURNAL memory|durable
 * limit first PORT JOURNAL memory|durable SECOND_PORT SIZE
 *
 * One thread each: what has come in one read is one append, one send and (durable) one fdatasync;
 * the second answers each append with the number of the newest record that it has. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JOURNAL_BYTES (512ull << 20)
#define READ_BYTES (4u << 20)
#define HEADER_BYTES 32u
#define PENDING_MAX 4096u

static int durable;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int ears(int port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (void *)&at, sizeof at) || listen(fd, 8)) die("listen");
    return fd;
}

static void nodelay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Both ends of the program read and write whole pieces; nonzero: the other side is gone. */
static int all_in(int fd, void *to, size_t n) {
    for (char *p = to; n;) {
        ssize_t got = read(fd, p, n);
        if (got <= 0) return -1;
        p += got, n -= (size_t)got;
    }
    return 0;
}

static int all_out(int fd, const void *from, size_t n) {
    for (const char *p = from; n;) {
        ssize_t put = write(fd, p, n);
        if (put <= 0) return -1;
        p += put, n -= (size_t)put;
    }
    return 0;
}

/* A ring, filled with zeroes once, so that a sync need not commit metadata. */
struct journal {
    int fd;
    uint64_t at;
    int dirty;
};

static struct journal open_journal(const char *path) {
    struct journal j = {.fd = open(path, O_RDWR | O_CREAT, 0600)};
    if (j.fd < 0) die(path);
    static char zeroes[1 << 20];
    for (uint64_t at = 0; at < JOURNAL_BYTES; at += sizeof zeroes)
        if (pwrite(j.fd, zeroes, sizeof zeroes, (off_t)at) < 0) die(path);
    if (fsync(j.fd)) die(path);
    return j;
}

static void append(struct journal *j, const char *bytes, size_t n) {
    if (!n) return;
    if (j->at + n > JOURNAL_BYTES) j->at = 0;
    if (pwrite(j->fd, bytes, n, (off_t)j->at) != (ssize_t)n) die("append");
    j->at += n;
    j->dirty = 1;
}

static void make_durable(struct journal *j) {
    if (j->dirty && fdatasync(j->fd)) die("fdatasync");
    j->dirty = 0;
}

/* A record: length of payload, flush flag, offset, number. */
struct record {
    uint32_t length, flush;
    uint64_t offset, number, spare;
};

static void second(int port, const char *path) {
    struct journal j = open_journal(path);
    int door = ears(port), fd = accept(door, 0, 0);
    if (fd < 0) die("accept");
    nodelay(fd);
    char *buffer = malloc(READ_BYTES * 2);
    size_t have = 0;
    for (;;) {
        ssize_t got = read(fd, buffer + have, READ_BYTES * 2 - have);
        if (got <= 0) exit(0);
        have += (size_t)got;
        size_t whole = 0;
        uint64_t newest = 0;
        int flush = 0;
        while (have - whole >= HEADER_BYTES) {
            struct record r;
            memcpy(&r, buffer + whole, sizeof r);
            if (have - whole < HEADER_BYTES + r.length) break;
            whole += HEADER_BYTES + r.length;
            newest = r.number;
            flush |= r.flush != 0;
        }
        if (!whole) continue;
        append(&j, buffer, whole);
        if (durable || flush) make_durable(&j);
        if (all_out(fd, &newest, sizeof newest)) exit(0);
        memmove(buffer, buffer + whole, have - whole);
        have -= whole;
    }
}

/* Fixed newstyle, and of its options what clients ask for before they go on. */
static int haggle(int fd, uint64_t size) {
    struct __attribute__((packed)) { uint64_t magic, option_magic; uint16_t flags; } hello = {
        htobe64(0x4e42444d41474943ull), htobe64(0x49484156454f5054ull), htobe16(3)};
    uint32_t client;
    if (all_out(fd, &hello, sizeof hello) || all_in(fd, &client, 4)) return -1;
    for (;;) {
        struct __attribute__((packed)) { uint64_t magic; uint32_t option, length; } o;
        struct __attribute__((packed)) { uint64_t magic; uint32_t option, kind, length; } a;
        char data[4096];
        if (all_in(fd, &o, sizeof o) || be32toh(o.length) > sizeof data) return -1;
        if (all_in(fd, data, be32toh(o.length))) return -1;
        a.magic = htobe64(0x3e889045565a9ull), a.option = o.option, a.length = 0;
        uint16_t flags = htobe16(1 | 4 | 8);
        if (be32toh(o.option) == 1) {
            char export[134] = {0};
            uint64_t bytes = htobe64(size);
            memcpy(export, &bytes, 8), memcpy(export + 8, &flags, 2);
            return all_out(fd, export, be32toh(client) & 2 ? 10 : 134);
        }
        if (be32toh(o.option) == 2) return -1;
        if (be32toh(o.option) == 6 || be32toh(o.option) == 7) {
            struct __attribute__((packed)) { uint16_t kind; uint64_t size; uint16_t flags; } info = {
                0, htobe64(size), flags};
            a.kind = htobe32(3), a.length = htobe32(sizeof info);
            if (all_out(fd, &a, sizeof a) || all_out(fd, &info, sizeof info)) return -1;
            a.kind = htobe32(1), a.length = 0;
            if (all_out(fd, &a, sizeof a)) return -1;
            if (be32toh(o.option) == 7) return 0;
            continue;
        }
        a.kind = htobe32(0x80000001u);
        if (all_out(fd, &a, sizeof a)) return -1;
    }
}

struct __attribute__((packed)) request {
    uint32_t magic;
    uint16_t flags, kind;
    uint64_t cookie, offset;
    uint32_t length;
};

struct __attribute__((packed)) reply {
    uint32_t magic, error;
    uint64_t cookie;
};

static struct reply reply_to(uint64_t cookie) {
    return (struct reply){htobe32(0x67446698), 0, cookie};
}

/* One client at a time, to its end. */
static void serve(int fd, int peer, struct journal *j, uint64_t *number) {
    static uint64_t cookies[PENDING_MAX];
    static struct reply replies[PENDING_MAX];
    static char zeroes[64 << 20];
    char *in = malloc(READ_BYTES * 2), *batch = malloc(READ_BYTES * 4);
    size_t have = 0;
    uint64_t answered = *number, held = *number;
    for (;;) {
        struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = peer, .events = POLLIN}};
        if (*number - answered > PENDING_MAX / 2) both[0].fd = -1;
        if (poll(both, 2, -1) < 0) die("poll");
        if (both[1].revents) {
            uint64_t acks[64];
            ssize_t got = read(peer, acks, sizeof acks);
            if (got < 8) die("the second is gone");
            if (got % 8 && all_in(peer, (char *)acks + got, 8 - (size_t)got % 8)) die("second");
            held = acks[((size_t)got + 7) / 8 - 1];
        }
        if (both[0].fd >= 0 && both[0].revents) {
            ssize_t got = read(fd, in + have, READ_BYTES * 2 - have);
            if (got <= 0) break;
            have += (size_t)got;
            size_t done = 0, out;
            do {
                out = 0;
                int flush = 0;
                while (have - done >= sizeof(struct request) && out < READ_BYTES) {
                    struct request r;
                    memcpy(&r, in + done, sizeof r);
                    uint32_t length = be32toh(r.length);
                    uint16_t kind = be16toh(r.kind);
                    size_t data = kind == 1 ? length : 0;
                    if (have - done < sizeof r + data) break;
                    done += sizeof r + data;
                    if (kind == 2) goto end;
                    if (kind == 0) {
                        struct reply answer = reply_to(r.cookie);
                        if (all_out(fd, &answer, sizeof answer)) goto end;
                        if (all_out(fd, zeroes, length)) goto end;
                        continue;
                    }
                    struct record record = {(uint32_t)data, kind == 3, r.offset, ++*number, 0};
                    flush |= kind == 3;
                    cookies[*number % PENDING_MAX] = r.cookie;
                    memcpy(batch + out, &record, sizeof record);
                    memcpy(batch + out + HEADER_BYTES, in + done - data, data);
                    out += HEADER_BYTES + data;
                }
                if (out) {
                    if (all_out(peer, batch, out)) die("send to the second");
                    append(j, batch, out);
                    if (durable || flush) make_durable(j);
                }
            } while (out);
            memmove(in, in + done, have - done);
            have -= done;
        }
        size_t count = 0;
        while (answered < held) replies[count++] = reply_to(cookies[++answered % PENDING_MAX]);
        if (count && all_out(fd, replies, count * sizeof *replies)) break;
    }
end:
    free(in), free(batch);
    while (held < *number)
        if (all_in(peer, &held, sizeof held)) die("the second is gone");
}

int main(int count, char **words) {
    if (count < 5) return fprintf(stderr, "limit: see the head of limit.c\n"), 2;
    durable = !strcmp(words[4], "durable");
    if (!strcmp(words[1], "second")) second(atoi(words[2]), words[3]);
    if (count < 7) return 2;
    struct journal j = open_journal(words[3]);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[5]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    while (connect(peer, (void *)&at, sizeof at)) usleep(20000);
    nodelay(peer);
    uint64_t number = 0, size = strtoull(words[6], 0, 10);
    for (int door = ears(atoi(words[2]));;) {
        int fd = accept(door, 0, 0);
        if (fd < 0) die("accept");
        nodelay(fd);
        if (!haggle(fd, size)) serve(fd, peer, &j, &number);
        close(fd);
    }
}
