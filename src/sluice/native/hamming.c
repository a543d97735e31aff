/* All pairs of hashes within a Hamming distance, exactly, by a tree of blocks.

   `corpus/blocks.py` says why two near hashes agree on `agree` of the blocks. A node of the tree holds hashes that
   agree on some blocks; for each later block that could be the next one they are parted by it, and each bucket is a node
   again. A bucket that is cheaper to compare as a whole than to part once more is compared; so is one that agrees on as
   many as any near pair must. The parting of a block is shared by all combinations that begin alike, and happens in the
   processor's own cache from the second block on.

   Hashes that crowd together agree on many blocks and would be compared once for every choice of them. A pair counts in
   one place alone, where it differs on each block that was passed over: a crowd that shares such a block is taken apart
   (`divide`) instead of compared with itself. */
#include "cpu.h"
#include "hamming.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH 96        /* nested partings and divisions */
#define RADIX 10        /* bits of a digit, at most */
#define CROWD 256       /* hashes: fewer are not worth a look whether they crowd */
#define ASKED 32        /* of them are looked at */
#define A_MOVE 40       /* sixteenths of a nanosecond, for a hash of one word */
#define A_BUCKET 80
#define A_PAIR_WIDE 2
#define A_PAIR 8

struct scratch {
    uint64_t *hash;
    size_t room;
};

struct tree {
    struct hamming_join *join;
    struct scratch scratch[DEPTH];
    int stopped; /* 1: asked to; -1: no memory */
};

static int node(struct tree *tree, uint32_t depth, struct hamming_run a, struct hamming_run b, int self,
                uint32_t next, uint32_t digit, uint64_t apart);

static uint64_t *room(struct tree *tree, uint32_t depth, size_t hashes) {
    struct scratch *scratch = &tree->scratch[depth];
    if (scratch->room < hashes) {
        size_t bytes = hashes * tree->join->stride * sizeof(uint64_t);
        free(scratch->hash); /* nothing in it is in use: a node of this depth begins */
        scratch->hash = malloc(bytes);
        scratch->room = scratch->hash ? hashes : 0;
        if (!scratch->hash) tree->stopped = -1;
    }
    return scratch->hash;
}

static inline void copy(uint64_t *to, const uint64_t *from, size_t stride) {
    for (size_t word = 0; word < stride; word++) to[word] = from[word];
}

/* Where the bits of a digit of a block stand: `digit` counts from the top. */
static struct hamming_block part_of(const struct hamming_block *block, uint32_t digit, int *last) {
    struct hamming_block part = *block;
    uint32_t above = digit * block->digit;
    uint32_t left = block->width - above;
    part.width = left < block->digit ? left : block->digit;
    part.shift += left - part.width;
    *last = left <= block->digit;
    return part;
}

/* `ends[key - low + 1]`: where the hashes of a key end, once those whose key is in [low, high) stand in its order. */
static void tally(const struct hamming_join *join, struct hamming_run run, const struct hamming_block *by, uint64_t low,
                  uint64_t high, size_t *ends) {
    size_t stride = join->stride, buckets = (size_t)(high - low);
    const uint64_t *hash = run.hash, *end = hash + run.count * stride;
    memset(ends, 0, (buckets + 1) * sizeof *ends);
    if (stride == 1 && buckets >> by->width) {
        for (uint64_t mask = buckets - 1, shift = by->shift; hash < end; hash++) ends[(*hash >> shift & mask) + 1]++;
    } else {
        for (; hash < end; hash += stride) {
            uint64_t key = hamming_key(hash, by) - low;
            if (key < buckets) ends[key + 1]++;
        }
    }
    for (size_t key = 0; key < buckets; key++) ends[key + 1] += ends[key];
}

/* Put them there. */
static void part(const struct hamming_join *join, struct hamming_run run, const struct hamming_block *by, uint64_t low,
                 uint64_t high, const size_t *ends, uint64_t *to) {
    size_t stride = join->stride, buckets = (size_t)(high - low), at[(size_t)1 << RADIX];
    const uint64_t *hash = run.hash, *end = hash + run.count * stride;
    memcpy(at, ends, buckets * sizeof *at);
    if (stride == 1 && buckets >> by->width) {
        for (uint64_t mask = buckets - 1, shift = by->shift; hash < end; hash++)
            to[at[*hash >> shift & mask]++] = *hash;
    } else {
        for (; hash < end; hash += stride) {
            uint64_t key = hamming_key(hash, by) - low;
            if (key < buckets) copy(to + at[key]++ * stride, hash, stride);
        }
    }
}

static struct hamming_run bucket(const uint64_t *hashes, const size_t *ends, size_t key, size_t stride) {
    return (struct hamming_run){hashes + ends[key] * stride, ends[key + 1] - ends[key]};
}

/* Part a node by a digit of block `next` and go on with each bucket. */
static int descend(struct tree *tree, uint32_t depth, struct hamming_run a, struct hamming_run b, int self,
                   uint32_t next, uint32_t digit, uint64_t apart) {
    struct hamming_join *join = tree->join;
    int last;
    struct hamming_block by = part_of(&join->block[next], digit, &last);
    size_t buckets = (size_t)1 << by.width, stride = join->stride;
    size_t a_ends[((size_t)1 << RADIX) + 1], b_ends[((size_t)1 << RADIX) + 1];
    uint64_t *a_to = room(tree, depth, a.count + (self ? 0 : b.count)), *b_to = a_to + a.count * stride;
    if (!a_to) return 1;
    join->moved += a.count + (self ? 0 : b.count);
    tally(join, a, &by, 0, buckets, a_ends);
    part(join, a, &by, 0, buckets, a_ends, a_to);
    if (!self) {
        tally(join, b, &by, 0, buckets, b_ends);
        part(join, b, &by, 0, buckets, b_ends, b_to);
    }
    uint32_t agreed = join->agreed, decided = join->decided;
    if (last) {
        join->sharing[join->agreed++] = next;
        join->decided = next + 1;
    }
    int stopped = 0;
    for (size_t key = 0; key < buckets && !stopped; key++) {
        struct hamming_run one = bucket(a_to, a_ends, key, stride), other = {0, 0};
        if (self ? one.count < 2 : !one.count) continue;
        if (!self && !(other = bucket(b_to, b_ends, key, stride)).count) continue;
        stopped = node(tree, depth + 1, one, other, self, last ? next + 1 : next, last ? 0 : digit + 1, apart);
    }
    join->agreed = agreed;
    join->decided = decided;
    return stopped;
}

/* How many of ASKED hashes have `value` on a block; the value itself, where none is given, is the most frequent one. */
static uint32_t frequency(const struct hamming_join *join, struct hamming_run run, const struct hamming_block *block,
                          uint64_t *value, int given) {
    uint64_t asked[ASKED];
    uint32_t most = 0;
    for (size_t i = 0; i < ASKED; i++)
        asked[i] = hamming_key(run.hash + run.count * i / ASKED * join->stride, block);
    for (size_t i = 0; i < (given ? 1 : ASKED); i++) {
        uint32_t count = 0;
        uint64_t sought = given ? *value : asked[i];
        for (size_t j = 0; j < ASKED; j++) count += asked[j] == sought;
        if (count > most) most = count, *value = sought;
    }
    return most;
}

/* The hashes with `value` on a block first, the others behind them; how many there are of the first. */
static size_t sift(const struct hamming_join *join, struct hamming_run run, const struct hamming_block *block,
                   uint64_t value, uint64_t *to) {
    size_t stride = join->stride, front = 0, back = run.count;
    for (size_t i = 0; i < run.count; i++) {
        const uint64_t *hash = run.hash + i * stride;
        copy(to + (hamming_key(hash, block) == value ? front++ : --back) * stride, hash, stride);
    }
    return front;
}

/* Where many hashes share a block that was passed over, take apart what agrees on it: those pairs count elsewhere.
   1: this was done, and the parts were dealt with; `apart` has a bit for each block on which all pairs differ. */
static int divide(struct tree *tree, uint32_t depth, struct hamming_run a, struct hamming_run b, int self,
                  uint32_t next, uint32_t digit, uint64_t apart, int *stopped) {
    struct hamming_join *join = tree->join;
    if (a.count < CROWD || (!self && b.count < CROWD) || depth + 2 >= DEPTH) return 0;
    uint32_t seen = 0, best = 0, most = ASKED * ASKED / 16;
    uint64_t value = 0;
    for (uint32_t i = 0; i < next && i < 64; i++) {
        if (seen < join->agreed && join->sharing[seen] == i) {
            seen++;
            continue;
        }
        if (apart >> i & 1) continue;
        uint64_t frequent = 0;
        uint32_t share = frequency(join, a, &join->block[i], &frequent, 0);
        share *= self ? share : frequency(join, b, &join->block[i], &frequent, 1);
        if (share > most) most = share, best = i, value = frequent;
    }
    if (most == ASKED * ASKED / 16) return 0;
    uint64_t *to = room(tree, depth, a.count + (self ? 0 : b.count)), *behind = to + a.count * join->stride;
    *stopped = 1;
    if (!to) return 1;
    join->moved += a.count + (self ? 0 : b.count);
    size_t stride = join->stride, front = sift(join, a, &join->block[best], value, to);
    struct hamming_run with = {to, front}, without = {to + front * stride, a.count - front};
    uint64_t now = apart | (uint64_t)1 << best;
    if (self) {
        *stopped = node(tree, depth + 1, with, without, 0, next, digit, now) ||
                   node(tree, depth + 1, without, without, 1, next, digit, apart);
        return 1;
    }
    size_t b_front = sift(join, b, &join->block[best], value, behind);
    struct hamming_run b_all = {behind, b.count}, b_without = {behind + b_front * stride, b.count - b_front};
    *stopped = node(tree, depth + 1, with, b_without, 0, next, digit, now) ||
               node(tree, depth + 1, without, b_all, 0, next, digit, apart);
    return 1;
}

/* Whether comparing all is expected to cost less than parting by each block that could be the next. */
static int compare_now(const struct hamming_join *join, size_t a, size_t b, int self, uint32_t first, uint32_t last) {
    double pairs = self ? (double)a * (double)(a - 1) / 2 : (double)a * (double)b;
    double choices = last - first + 1, buckets = (double)((size_t)1 << join->block[first].digit);
    double words = join->words == 1 ? 1 : (join->words + 1) / 2 + 0.5;
    double a_pair = (join->wide ? A_PAIR_WIDE : A_PAIR) * words, a_move = A_MOVE * (1 + join->stride) / 2.0;
    double parting = choices * (a_move * (double)(self ? a : a + b) + A_BUCKET * buckets + a_pair * pairs / buckets);
    return a_pair * pairs <= parting;
}

/* The pairs of a node that agree on block `next` (from `digit` on) or, at the start of a block, on later ones. */
static int node(struct tree *tree, uint32_t depth, struct hamming_run a, struct hamming_run b, int self,
                uint32_t next, uint32_t digit, uint64_t apart) {
    struct hamming_join *join = tree->join;
    if (*join->stop) return 1;
    if (self ? a.count < 2 : !a.count || !b.count) return 0;
    int stopped = 0;
    if (divide(tree, depth, a, b, self, next, digit, apart, &stopped)) return stopped;
    uint32_t last = join->blocks - (join->agree - join->agreed);
    if (join->agreed == join->agree || depth + 1 >= DEPTH ||
        compare_now(join, a.count, self ? 0 : b.count, self, next, digit ? next : last)) {
        uint32_t agreed = join->agreed, decided = join->decided;
        if (digit) join->sharing[join->agreed++] = next, join->decided = next + 1; /* that it is, the pair must show */
        stopped = hamming_compare(join, a, b, self);
        join->agreed = agreed, join->decided = decided;
        return stopped;
    }
    if (digit) return descend(tree, depth, a, b, self, next, digit, apart);
    for (uint32_t block = next; block <= last && !stopped; block++)
        stopped = descend(tree, depth, a, b, self, block, 0, apart);
    return stopped;
}

/* 1 where the processor counts bits in its widest registers: for `wide`. */
EXPORT int32_t sluice_hamming_wide(void) { return has_vpopcntdq(); }

/* How many hashes have each value on the first digit of a block. */
EXPORT void sluice_hamming_count(const struct hamming_join *join, const uint64_t *hashes, size_t count,
                                 uint32_t block, uint64_t *counts) {
    int last;
    struct hamming_block by = part_of(&join->block[block], 0, &last);
    const uint64_t *end = hashes + count * join->stride;
    for (; hashes < end; hashes += join->stride) counts[hamming_key(hashes, &by)]++;
}

/* The pairs whose first block in common is `block`, of those hashes whose first digit on it is in [low, high): between
   `a` and `b`, or within `a` where `b` is NULL. 0; 1: stopped; -1: no memory. */
EXPORT int32_t sluice_hamming_join(struct hamming_join *join, const uint64_t *a, size_t a_count, const uint64_t *b,
                                   size_t b_count, uint32_t block, uint32_t low, uint32_t high) {
    struct tree tree = {.join = join};
    int last, self = b == NULL, stopped = 0;
    struct hamming_block by = part_of(&join->block[block], 0, &last);
    size_t stride = join->stride, ends[2][((size_t)1 << RADIX) + 1];
    uint64_t *to[2] = {0, 0};
    struct hamming_run from[2] = {{a, a_count}, {b, b_count}};
    for (int side = 0; side < 2 - self && !tree.stopped; side++) {
        tally(join, from[side], &by, low, high, ends[side]);
        size_t inside = ends[side][high - low];
        to[side] = malloc((inside ? inside : 1) * stride * sizeof(uint64_t));
        if (to[side]) part(join, from[side], &by, low, high, ends[side], to[side]);
        else tree.stopped = -1;
        join->moved += inside;
    }
    join->agreed = 0, join->decided = block, join->count = 0;
    if (last) join->sharing[join->agreed++] = block, join->decided = block + 1;
    for (uint32_t key = 0; key < high - low && !stopped && !tree.stopped; key++) {
        struct hamming_run one = bucket(to[0], ends[0], key, stride), other = {0, 0};
        if (!self) other = bucket(to[1], ends[1], key, stride);
        stopped = node(&tree, 0, one, other, self, last ? block + 1 : block, !last, 0);
        *join->done += one.count + other.count;
    }
    if (!stopped && !tree.stopped && join->count) stopped = join->flush(join->count);
    for (uint32_t depth = 0; depth < DEPTH; depth++) free(tree.scratch[depth].hash);
    free(to[0]), free(to[1]);
    return tree.stopped ? tree.stopped : stopped;
}

/* Hashes of `words` words with their bits in another order: bit i of the outcome is bit `order[i]`. With a stride of
   one word more, that holds the hash's place from `first` on. 0; -1: no memory. */
EXPORT int32_t sluice_hamming_spread(const uint64_t *hashes, size_t count, uint32_t words, const uint32_t *order,
                                     uint64_t *to, uint32_t stride, uint64_t first) {
    size_t bytes = (size_t)words * 8, entries = bytes * 256;
    uint64_t *table = calloc(entries * words, sizeof *table);
    if (!table) return -1;
    for (uint32_t bit = 0; bit < words * 64; bit++)
        for (size_t value = 0; value < 256; value++)
            if (value >> (order[bit] & 7) & 1)
                table[((order[bit] >> 3) * 256 + value) * words + bit / 64] |= (uint64_t)1 << (bit & 63);
    for (size_t i = 0; i < count; i++, to += stride, hashes += words) {
        const unsigned char *byte = (const unsigned char *)hashes;
        for (uint32_t word = 0; word < words; word++) to[word] = 0;
        for (size_t at = 0; at < bytes; at++)
            for (uint32_t word = 0; word < words; word++) to[word] |= table[(at * 256 + byte[at]) * words + word];
        if (stride > words) to[words] = first + i;
    }
    free(table);
    return 0;
}
