/* What the join of hashes by Hamming distance (hamming.c) shares with its comparing (hamming_compare.c). */
#ifndef SLUICE_HAMMING_H
#define SLUICE_HAMMING_H

#include "kernels.h"

#define HAMMING_AGREE 8 /* blocks, at most, that must agree */

/* Bits of a hash that must agree as a whole: `width` (1 to 56) of them, `shift` up from the byte at `offset`. They are
   told apart `digit` bits at a time. */
struct hamming_block {
    uint32_t offset, shift, width, digit;
};

/* One thread's share of a join: what to look for, where to put it. Python holds it (`corpus/native_join.py`). */
struct hamming_join {
    uint32_t words;    /* of 64 bits that are compared */
    uint32_t stride;   /* words from one hash to the next; the last of them names the hash in a pair */
    uint32_t distance; /* bits that a pair may differ in */
    uint32_t blocks;
    uint32_t wide;  /* 1: the processor counts bits in 512-bit registers (`sluice_hamming_wide`) */
    uint32_t agree; /* of them that are equal in a pair within the distance: blocks - distance */
    const struct hamming_block *block;
    uint64_t *pairs;     /* two names each */
    uint16_t *distances; /* one each */
    size_t room, count;
    int32_t (*flush)(size_t count); /* called when `room` pairs are there; not 0: stop */
    const volatile int32_t *stop;
    volatile uint64_t *done;      /* hashes whose first block has been dealt with */
    uint64_t compared, moved;     /* pairs looked at, hashes partitioned */
    uint32_t decided;             /* blocks before this one have had their turn for the pairs looked for now: */
    uint32_t agreed, sharing[HAMMING_AGREE]; /* they agree on these, ascending, and differ on the others */
};

struct hamming_run {
    const uint64_t *hash;
    size_t count;
};

static inline uint64_t hamming_key(const uint64_t *hash, const struct hamming_block *block) {
    uint64_t word;
    __builtin_memcpy(&word, (const char *)hash + block->offset, sizeof word); /* little-endian, as all our machines */
    return word >> block->shift & (((uint64_t)1 << block->width) - 1);
}

/* Report the pairs between `a` and `b`, or within `a` where `b` holds none. 0, or 1 to stop. */
int hamming_compare(struct hamming_join *join, struct hamming_run a, struct hamming_run b, int self);

#endif
