/* Every hash of a bucket with every other: xor, count the bits, keep what is within the distance.

   Eight pairs at a time where the processor counts bits in its widest registers, one at a time elsewhere. Both look at
   the same pairs in the same order. */
#include "hamming.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define WIDE __attribute__((target("avx512f,avx512vpopcntdq")))
#endif

#define ROWS 4    /* compared with the same eight columns before the outcome is looked at */
#define TILE 256  /* columns of several words, turned so that the same word of eight lies side by side */
#define WORDS 16  /* the most */

/* A pair within the distance comes up wherever it agrees. It belongs to one place alone: where the blocks that it
   agrees on are the first that it agrees on. */
static int belongs(const struct hamming_join *join, const uint64_t *a, const uint64_t *b) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < join->decided; i++) {
        int share = seen < join->agreed && join->sharing[seen] == i;
        if (share != (hamming_key(a, &join->block[i]) == hamming_key(b, &join->block[i]))) return 0;
        seen += (uint32_t)share;
    }
    return 1;
}

static int report(struct hamming_join *join, const uint64_t *a, const uint64_t *b) {
    uint32_t distance = 0;
    for (uint32_t word = 0; word < join->words; word++) distance += (uint32_t)__builtin_popcountll(a[word] ^ b[word]);
    if (distance > join->distance || !belongs(join, a, b)) return 0;
    size_t at = join->count++;
    join->pairs[2 * at] = a[join->stride - 1];
    join->pairs[2 * at + 1] = b[join->stride - 1];
    join->distances[at] = (uint16_t)distance;
    if (join->count < join->room) return 0;
    join->count = 0;
    return join->flush(join->room) != 0;
}




static int plain(struct hamming_join *join, struct hamming_run a, struct hamming_run b, int self) {
    size_t stride = join->stride;
    uint32_t words = join->words, most = join->distance;
    for (size_t row = 0; row < a.count; row++) {
        const uint64_t *one = a.hash + row * stride;
        for (size_t column = self ? row + 1 : 0; column < b.count; column++) {
            const uint64_t *other = b.hash + column * stride;
            uint32_t distance = (uint32_t)__builtin_popcountll(one[0] ^ other[0]);
            for (uint32_t word = 1; word < words && distance <= most; word++)
                distance += (uint32_t)__builtin_popcountll(one[word] ^ other[word]);
            if (distance <= most && report(join, one, other)) return 1;
        }
    }
    return 0;
}

/* Hashes of one word, side by side: what eight columns say is looked at together. */
static int plain_single(struct hamming_join *join, struct hamming_run a, struct hamming_run b, int self) {
    uint64_t most = join->distance;
    for (size_t row = 0; row < a.count; row++) {
        const uint64_t *one = a.hash + row;
        uint64_t value = *one;
        size_t column = self ? row + 1 : 0;
        for (; column + 8 <= b.count; column += 8) {
            unsigned near = 0;
            for (unsigned i = 0; i < 8; i++)
                near |= (unsigned)((uint64_t)__builtin_popcountll(value ^ b.hash[column + i]) <= most) << i;
            for (; __builtin_expect(near, 0); near &= near - 1)
                if (report(join, one, b.hash + column + __builtin_ctz(near))) return 1;
        }
        for (; column < b.count; column++)
            if ((uint64_t)__builtin_popcountll(value ^ b.hash[column]) <= most && report(join, one, b.hash + column))
                return 1;
    }
    return 0;
}

#if defined(__x86_64__)
/* One row with the columns [column, end), which are fewer than a register or the start of a triangle. */
WIDE static int wide_row(struct hamming_join *join, const uint64_t *one, struct hamming_run b, size_t column,
                         size_t end) {
    __m512i row = _mm512_set1_epi64((int64_t)one[0]), most = _mm512_set1_epi64(join->distance);
    for (; column < end; column += 8) {
        __mmask8 there = end - column >= 8 ? 0xFF : (__mmask8)((1u << (end - column)) - 1);
        __m512i other = _mm512_maskz_loadu_epi64(there, b.hash + column);
        __m512i bits = _mm512_popcnt_epi64(_mm512_xor_si512(row, other));
        unsigned near = _mm512_mask_cmple_epu64_mask(there, bits, most);
        for (; near; near &= near - 1)
            if (report(join, one, b.hash + column + __builtin_ctz(near))) return 1;
    }
    return 0;
}

/* Hashes of one word, side by side. */
WIDE static int wide_single(struct hamming_join *join, struct hamming_run a, struct hamming_run b, int self) {
    __m512i most = _mm512_set1_epi64(join->distance);
    size_t row = 0;
    for (; row + ROWS <= a.count; row += ROWS) {
        const uint64_t *one = a.hash + row;
        size_t column = 0;
        if (self) {
            column = row + ROWS;
            for (size_t i = 0; i + 1 < ROWS; i++)
                for (size_t j = i + 1; j < ROWS; j++)
                    if ((uint32_t)__builtin_popcountll(one[i] ^ one[j]) <= join->distance &&
                        report(join, one + i, one + j))
                        return 1;
        }
        __m512i r0 = _mm512_set1_epi64((int64_t)one[0]), r1 = _mm512_set1_epi64((int64_t)one[1]);
        __m512i r2 = _mm512_set1_epi64((int64_t)one[2]), r3 = _mm512_set1_epi64((int64_t)one[3]);
        for (; column < b.count; column += 8) {
            __mmask8 there = b.count - column >= 8 ? 0xFF : (__mmask8)((1u << (b.count - column)) - 1);
            __m512i other = _mm512_maskz_loadu_epi64(there, b.hash + column);
            __m512i p0 = _mm512_popcnt_epi64(_mm512_xor_si512(r0, other));
            __m512i p1 = _mm512_popcnt_epi64(_mm512_xor_si512(r1, other));
            __m512i p2 = _mm512_popcnt_epi64(_mm512_xor_si512(r2, other));
            __m512i p3 = _mm512_popcnt_epi64(_mm512_xor_si512(r3, other));
            __m512i least = _mm512_min_epu64(_mm512_min_epu64(p0, p1), _mm512_min_epu64(p2, p3));
            if (__builtin_expect(_mm512_mask_cmple_epu64_mask(there, least, most), 0))
                for (size_t i = 0; i < ROWS; i++)
                    if (wide_row(join, one + i, b, column, column + 8 < b.count ? column + 8 : b.count)) return 1;
        }
    }
    for (; row < a.count; row++)
        if (wide_row(join, a.hash + row, b, self ? row + 1 : 0, b.count)) return 1;
    return 0;
}

/* Hashes of any number of words, or with a name behind them. */
WIDE static int wide_many(struct hamming_join *join, struct hamming_run a, struct hamming_run b, int self) {
    uint64_t turned[WORDS][TILE] __attribute__((aligned(64)));
    uint32_t words = join->words, half = (words + 1) / 2;
    size_t stride = join->stride;
    __m512i most = _mm512_set1_epi64(join->distance);
    for (size_t left = 0; left < b.count; left += TILE) {
        size_t width = b.count - left < TILE ? b.count - left : TILE;
        for (size_t column = 0; column < width; column++)
            for (uint32_t word = 0; word < words; word++)
                turned[word][column] = b.hash[(left + column) * stride + word];
        size_t rows = self && left + width < a.count ? left + width : a.count;
        for (size_t row = 0; row < rows; row++) {
            const uint64_t *one = a.hash + row * stride;
            size_t column = self && row + 1 > left ? (row + 1 - left) & ~(size_t)7 : 0;
            for (; column < width; column += 8) {
                __m512i bits = _mm512_setzero_si512();
                for (uint32_t word = 0; word < half; word++)
                    bits = _mm512_add_epi64(bits, _mm512_popcnt_epi64(_mm512_xor_si512(
                        _mm512_set1_epi64((int64_t)one[word]), _mm512_load_si512(&turned[word][column]))));
                __mmask8 there = width - column >= 8 ? 0xFF : (__mmask8)((1u << (width - column)) - 1);
                if (self && row + 1 > left + column) there &= (__mmask8)(0xFFu << (row + 1 - left - column));
                unsigned near = _mm512_mask_cmple_epu64_mask(there, bits, most);
                if (__builtin_expect(!near, 1)) continue;
                for (uint32_t word = half; word < words; word++)
                    bits = _mm512_add_epi64(bits, _mm512_popcnt_epi64(_mm512_xor_si512(
                        _mm512_set1_epi64((int64_t)one[word]), _mm512_load_si512(&turned[word][column]))));
                near = _mm512_mask_cmple_epu64_mask((__mmask8)near, bits, most);
                for (; near; near &= near - 1)
                    if (report(join, one, b.hash + (left + column + (size_t)__builtin_ctz(near)) * stride)) return 1;
            }
        }
    }
    return 0;
}

#endif

int hamming_compare(struct hamming_join *join, struct hamming_run a, struct hamming_run b, int self) {
    if (self) b = a;
    join->compared += self ? a.count * (a.count - 1) / 2 : a.count * b.count;
#if defined(__x86_64__)
    if (join->wide) return join->stride == 1 ? wide_single(join, a, b, self) : wide_many(join, a, b, self);
#endif
    return join->stride == 1 ? plain_single(join, a, b, self) : plain(join, a, b, self);
}
