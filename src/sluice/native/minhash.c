#include "cpu.h"
#include "kernels.h"

#include <stdlib.h>

/* Texts as sets of n-grams: their minima under many permutations, cut into bands; and the Jaccard index of two.

   Texts lie in one buffer of UTF-8, the i-th from offsets[i] to offsets[i + 1], folded: words are parted by single
   spaces. A n-gram is n characters, or n words; a text with fewer is one n-gram. Its hash is a polynomial of its
   characters modulo 2^64, mixed. `sluice.corpus.ngrams` says the same in NumPy. */

#define BASE UINT64_C(0x9E3779B97F4A7C15)
#define LANES 32 /* minima that are kept in registers while all n-grams of a text pass by */
#define BITMAP 4 /* words of 64 bits: of a text, the bits that its n-grams set */

static inline uint64_t mixed(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 27;
    x *= UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* The next character of a text, one of U+FFFD's length where the bytes are none. */
static inline uint32_t character(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    uint32_t c = *p++;
    int more = c < 0xC0 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    if (more) c &= 0x3F >> more;
    while (more-- && p < end) c = c << 6 | (*p++ & 0x3F);
    *at = p;
    return c;
}

/* The elements that n-grams are made of: characters, or hashes of words. At most end - text of them. */
static size_t elements(const uint8_t *text, const uint8_t *end, int words, uint64_t *out) {
    size_t n = 0;
    if (!words) {
        while (text < end) out[n++] = character(&text, end);
        return n;
    }
    while (text < end) {
        uint64_t hash = 0, power = 1;
        while (text < end && *text != ' ') {
            hash += character(&text, end) * power;
            power *= BASE;
        }
        out[n++] = mixed(hash);
        if (text < end) text++; /* the space */
    }
    return n;
}

/* The hashes of the n-grams, in place of the elements. */
static size_t grams(uint64_t *of, size_t n, size_t gram) {
    if (!n) return 0;
    if (n < gram) gram = n;
    size_t count = n - gram + 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = 0;
        for (size_t j = 0; j < gram; j++) hash = hash * BASE + of[i + j];
        of[i] = mixed(hash);
    }
    return count;
}

static inline __attribute__((always_inline)) void minima_of(const uint64_t *hashes, size_t n, const uint32_t *a,
                                                            const uint32_t *b, size_t permutations, uint32_t *out) {
    for (size_t p = 0; p < permutations; p += LANES) {
        uint32_t least[LANES];
        for (int i = 0; i < LANES; i++) least[i] = UINT32_MAX;
        for (size_t k = 0; k < n; k++) {
            uint32_t x = (uint32_t)(hashes[k] >> 32);
            for (int i = 0; i < LANES; i++) {
                uint32_t value = a[p + i] * x + b[p + i];
                least[i] = value < least[i] ? value : least[i];
            }
        }
        for (int i = 0; i < LANES; i++) out[p + i] = least[i];
    }
}

typedef void minima_fn(const uint64_t *, size_t, const uint32_t *, const uint32_t *, size_t, uint32_t *);

static void minima_plain(const uint64_t *h, size_t n, const uint32_t *a, const uint32_t *b, size_t p, uint32_t *out) {
    minima_of(h, n, a, b, p, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void minima_avx2(const uint64_t *h, size_t n, const uint32_t *a,
                                                        const uint32_t *b, size_t p, uint32_t *out) {
    minima_of(h, n, a, b, p, out);
}

#if defined(__clang__)
#define AVX512 "avx512f,prefer-256-bit"
#else
#define AVX512 "avx512f"
#endif
__attribute__((target(AVX512))) static void minima_avx512(const uint64_t *h, size_t n, const uint32_t *a,
                                                          const uint32_t *b, size_t p, uint32_t *out) {
    minima_of(h, n, a, b, p, out);
}
#endif

static minima_fn *fastest(void) {
#if defined(__x86_64__)
    if (has_avx512f()) return minima_avx512;
    if (has_avx2()) return minima_avx2;
#endif
    return minima_plain;
}

static size_t longest(const int64_t *offsets, int64_t first, int64_t last) {
    int64_t most = 0;
    for (int64_t i = first; i < last; i++) {
        int64_t length = offsets[i + 1] - offsets[i];
        if (length > most) most = length;
    }
    return (size_t)most;
}

/* Letters of ASCII made small, white space of ASCII made one space between words; all else as it is. Each text is at
   most as long as it was. Returns the length of all. */
EXPORT int64_t sluice_fold(const uint8_t *bytes, const int64_t *offsets, int64_t texts, uint8_t *out,
                           int64_t *out_offsets) {
    int64_t length = 0;
    out_offsets[0] = 0;
    for (int64_t i = 0; i < texts; i++) {
        int64_t start = length;
        int space = 0;
        for (int64_t k = offsets[i]; k < offsets[i + 1]; k++) {
            uint8_t c = bytes[k];
            if (c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31)) {
                space = length > start;
                continue;
            }
            if (space) out[length++] = ' ';
            space = 0;
            out[length++] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        }
        out_offsets[i + 1] = length;
    }
    return length;
}

/* A key a band for the texts from `first` to `last`: keys[band * stride + text]. The permutations are x -> a x + b
   modulo 2^32 of the upper half of a hash; there are bands * rows of them, and room for a multiple of 32. Of each text
   also how many n-grams it has, repeated ones too, and which bits of 256 they set.
   0, or -1 where there is no memory. */
EXPORT int sluice_minhash(const uint8_t *bytes, const int64_t *offsets, int64_t first, int64_t last, int words,
                          int gram, const uint32_t *a, const uint32_t *b, int bands, int rows, uint64_t *keys,
                          int64_t stride, uint32_t *counts, uint64_t *bits) {
    size_t permutations = ((size_t)bands * (size_t)rows + LANES - 1) / LANES * LANES;
    uint64_t *hashes = malloc((longest(offsets, first, last) + 1) * sizeof *hashes);
    uint32_t *least = malloc(permutations * sizeof *least);
    minima_fn *minima = fastest();
    int failed = !hashes || !least;
    for (int64_t i = first; i < last && !failed; i++) {
        size_t n = elements(bytes + offsets[i], bytes + offsets[i + 1], words, hashes);
        n = grams(hashes, n, (size_t)gram);
        counts[i] = (uint32_t)n;
        uint64_t *mine = bits + i * BITMAP;
        for (int word = 0; word < BITMAP; word++) mine[word] = 0;
        for (size_t k = 0; k < n; k++) mine[hashes[k] >> 6 & (BITMAP - 1)] |= UINT64_C(1) << (hashes[k] & 63);
        minima(hashes, n, a, b, permutations, least);
        for (int band = 0; band < bands; band++) {
            uint64_t key = 0;
            for (int row = 0; row < rows; row++) key = key * BASE + least[band * rows + row];
            keys[band * stride + i] = mixed(key);
        }
    }
    free(hashes);
    free(least);
    return failed ? -1 : 0;
}

static void sift(uint64_t *heap, size_t root, size_t n) {
    uint64_t value = heap[root];
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= value) break;
        heap[root] = heap[child];
    }
    heap[root] = value;
}

static void sort(uint64_t *of, size_t n) {
    while (n > 24) { /* quicksort by the median of three; what is left short goes below. Hashes are no worst case. */
        uint64_t x = of[0], y = of[n / 2], z = of[n - 1];
        uint64_t pivot = x < y ? (y < z ? y : x < z ? z : x) : (x < z ? x : y < z ? z : y);
        size_t low = 0, high = n - 1;
        for (;;) {
            while (of[low] < pivot) low++;
            while (of[high] > pivot) high--;
            if (low >= high) break;
            uint64_t swap = of[low];
            of[low++] = of[high];
            of[high--] = swap;
        }
        size_t left = high + 1;
        if (left == n) { /* many equal ones */
            for (size_t root = n / 2; root-- > 0;) sift(of, root, n);
            for (size_t end = n; end-- > 1;) {
                uint64_t swap = of[0];
                of[0] = of[end];
                of[end] = swap;
                sift(of, 0, end);
            }
            return;
        }
        if (left < n - left) {
            sort(of, left);
            of += left;
            n -= left;
        } else {
            sort(of + left, n - left);
            n = left;
        }
    }
    for (size_t i = 1; i < n; i++) {
        uint64_t value = of[i];
        size_t k = i;
        for (; k && of[k - 1] > value; k--) of[k] = of[k - 1];
        of[k] = value;
    }
}

static size_t distinct(const uint8_t *bytes, const int64_t *offsets, int64_t i, int words, int gram, uint64_t *out) {
    size_t n = grams(out, elements(bytes + offsets[i], bytes + offsets[i + 1], words, out), (size_t)gram);
    sort(out, n);
    size_t kept = 0;
    for (size_t k = 0; k < n; k++)
        if (!k || out[k] != out[k - 1]) out[kept++] = out[k];
    return kept;
}

static int64_t in_common(const uint64_t *a, size_t na, const uint64_t *b, size_t nb) {
    size_t x = 0, y = 0;
    int64_t common = 0;
    while (x < na && y < nb) {
        common += a[x] == b[y];
        size_t go_x = a[x] <= b[y], go_y = a[x] >= b[y];
        x += go_x;
        y += go_y;
    }
    return common;
}

/* How many n-grams two texts share, and how many either has, for each pair: 0 of 0 where both are empty. Pairs that
   follow each other and have the same left text are faster. 0, or -1 where there is no memory. */
EXPORT int sluice_shared(const uint8_t *bytes, const int64_t *offsets, int words, int gram,
                         const int64_t *left, const int64_t *right, int64_t pairs, int64_t *shared, int64_t *either) {
    size_t most = 0;
    for (int64_t i = 0; i < pairs; i++) {
        size_t one = (size_t)(offsets[left[i] + 1] - offsets[left[i]]);
        size_t other = (size_t)(offsets[right[i] + 1] - offsets[right[i]]);
        most = one > most ? one : most;
        most = other > most ? other : most;
    }
    uint64_t *a = malloc((most + 1) * sizeof *a), *b = malloc((most + 1) * sizeof *b);
    int failed = !a || !b;
    int64_t held = -1;
    size_t na = 0;
    for (int64_t i = 0; i < pairs && !failed; i++) {
        if (left[i] != held) na = distinct(bytes, offsets, held = left[i], words, gram, a);
        size_t nb = distinct(bytes, offsets, right[i], words, gram, b);
        int64_t common = in_common(a, na, b, nb);
        shared[i] = common;
        either[i] = (int64_t)(na + nb) - common;
    }
    free(a);
    free(b);
    return failed ? -1 : 0;
}

/* Whether two texts may have this Jaccard index. A bit in which they differ takes an n-gram that one of them lacks, so
   as many n-grams differ at least as bits do; and no text has more n-grams than it has with repeats. */
static inline int may(const uint32_t *counts, const uint64_t *bits, int64_t one, int64_t other, double least) {
    const uint64_t *a = bits + one * BITMAP, *b = bits + other * BITMAP;
    int differ = 0;
    for (int word = 0; word < BITMAP; word++) differ += __builtin_popcountll(a[word] ^ b[word]);
    double both = (double)counts[one] + (double)counts[other];
    return both - differ >= (least - 1e-6) * (both + differ);
}

/* Candidates in buckets: of the texts from starts[i] to before ends[i] all pairs that may be alike, as one << 32 |
   other, the lesser first. Goes on from bucket `from` while there is room; the bucket to go on from, and how many. */
EXPORT int64_t sluice_candidates(const int64_t *text, const int64_t *starts, const int64_t *ends, int64_t buckets,
                                 int64_t from, const uint32_t *counts, const uint64_t *bits, double least,
                                 uint64_t *out, int64_t room, int64_t *found) {
    int64_t n = 0;
    for (; from < buckets; from++) {
        int64_t size = ends[from] - starts[from];
        if (n + size * (size - 1) / 2 > room) break;
        for (int64_t i = starts[from]; i < ends[from]; i++)
            for (int64_t j = i + 1; j < ends[from]; j++)
                if (may(counts, bits, text[i], text[j], least)) {
                    uint64_t one = (uint64_t)text[i], other = (uint64_t)text[j];
                    out[n++] = one < other ? one << 32 | other : other << 32 | one;
                }
    }
    *found = n;
    return from;
}

/* Hubs of a bucket of many texts. The next text that is in no group becomes a hub and takes in those that are alike to
   it; group[i] is the hub's place in the bucket, -1 before. Told is, of each hub and each other text of the bucket,
   how alike they are, where that is `least` at least; and where the hub took any in, where it is `within`.
   Goes on from text `from` while there is room; the text to go on from, or -1 where there is no memory. */
EXPORT int64_t sluice_hubs(const uint8_t *bytes, const int64_t *offsets, int words, int gram, const int64_t *bucket,
                           int64_t size, int64_t from, const uint32_t *counts, const uint64_t *bits, double least,
                           double within, int64_t *group, int64_t *hub, int64_t *other, float *alike, int64_t room,
                           int64_t *found) {
    size_t most = 0;
    for (int64_t i = 0; i < size; i++) {
        size_t length = (size_t)(offsets[bucket[i] + 1] - offsets[bucket[i]]);
        most = length > most ? length : most;
    }
    uint64_t *a = malloc((most + 1) * sizeof *a), *b = malloc((most + 1) * sizeof *b);
    uint64_t *near_bits = malloc(((size_t)size + 1) * BITMAP * sizeof *near_bits); /* side by side: each is asked often */
    uint32_t *near_counts = malloc(((size_t)size + 1) * sizeof *near_counts);
    int64_t n = 0;
    if (!a || !b || !near_bits || !near_counts) from = -1;
    for (int64_t i = 0; from >= 0 && i < size; i++) {
        near_counts[i] = counts[bucket[i]];
        for (int word = 0; word < BITMAP; word++) near_bits[i * BITMAP + word] = bits[bucket[i] * BITMAP + word];
    }
    for (; from >= 0 && from < size; from++) {
        if (group[from] >= 0) continue;
        if (n + 2 * size > room) break;
        size_t na = distinct(bytes, offsets, bucket[from], words, gram, a);
        int64_t took = 0, first = n;
        group[from] = from;
        for (int pass = 0; pass < 2; pass++) {
            double asked = pass ? within : least;
            if (pass && !took) break;
            int64_t next = first, end = n;
            for (int64_t i = 0; i < size; i++) {
                if (next < end && other[next] == i) { /* told by the first pass */
                    next++;
                    continue;
                }
                if (i == from || !may(near_counts, near_bits, from, i, asked)) continue;
                size_t nb = distinct(bytes, offsets, bucket[i], words, gram, b);
                int64_t common = in_common(a, na, b, nb);
                float index = (float)((double)common / (double)((int64_t)(na + nb) - common));
                if (index < (float)asked) continue;
                hub[n] = from;
                other[n] = i;
                alike[n++] = index;
                if (!pass && group[i] < 0) {
                    group[i] = from;
                    took++;
                }
            }
        }
    }
    free(a);
    free(b);
    free(near_bits);
    free(near_counts);
    *found = n;
    return from;
}
