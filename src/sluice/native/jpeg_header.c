#include "kernels.h"

#include <string.h>

/* The markers of a JPEG up to its first scan, as media/jpeg.py reads them; whatever is odd is left to that. */

enum { TEM = 0x01, DHT = 0xC4, JPG = 0xC8, DAC = 0xCC, RST0 = 0xD0, RST7 = 0xD7, EOI = 0xD9, SOS = 0xDA, DQT = 0xDB };
enum { APP1 = 0xE1, APP2 = 0xE2, TABLES = 16 };
enum { MARKER, PRECISION, HEIGHT, WIDTH, CHANNELS, TABLE_SUM, ICC, EXIF, EXIF_END, FACTS };

/* Sums of the values of the quantisation tables; 0 where one is odd. */
static int add_tables(const uint8_t *data, size_t at, size_t end, int32_t *sums) {
    while (at < end) {
        const size_t wide = data[at] >> 4 ? 2 : 1, number = data[at] & 15;
        const uint8_t *values = data + at + 1;
        if (at + 1 + 64 * wide > end) return 0;
        sums[number] = 0;
        for (size_t i = 0; i < 64; i++)
            sums[number] += wide == 2 ? values[2 * i] << 8 | values[2 * i + 1] : values[i];
        at += 1 + 64 * wide;
    }
    return 1;
}

static int is_frame(int marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != DHT && marker != JPG && marker != DAC;
}

static int starts_with(const uint8_t *data, size_t at, size_t size, const char *word, size_t length) {
    return size - at >= length && !memcmp(data + at, word, length);
}

/* 0 and the `facts`, or 1 where the bytes are none that this reads. */
EXPORT int sluice_jpeg_header(const uint8_t *data, size_t size, int64_t *facts) {
    int32_t sums[TABLES] = {0};
    size_t at = 2, table = TABLES;
    memset(facts, 0, FACTS * sizeof *facts);
    for (;;) {
        if (at >= size || data[at] != 0xFF) return 1; /* junk between markers */
        while (at < size && data[at] == 0xFF) at++;
        if (at + 3 > size) return 1;
        const int marker = data[at];
        if (marker == 0 || marker == TEM || marker == EOI || (marker >= RST0 && marker <= RST7)) return 1;
        const size_t start = at + 3, end = at + 1 + ((size_t)data[at + 1] << 8 | data[at + 2]);
        if (end > size || end < start) return 1;
        if (marker == DQT && !add_tables(data, start, end, sums)) return 1;
        if (is_frame(marker) && !facts[MARKER]) {
            if (end - start < 9) return 1;
            facts[MARKER] = marker;
            facts[PRECISION] = data[start];
            facts[HEIGHT] = data[start + 1] << 8 | data[start + 2];
            facts[WIDTH] = data[start + 3] << 8 | data[start + 4];
            facts[CHANNELS] = data[start + 5];
            table = data[start + 8];
        }
        if (marker == APP1 && starts_with(data, start, size, "Exif\0\0", 6)) {
            if (facts[EXIF]) return 1;
            facts[EXIF] = (int64_t)start, facts[EXIF_END] = (int64_t)end;
        }
        if (marker == APP2 && !facts[ICC]) facts[ICC] = starts_with(data, start, size, "ICC_PROFILE\0", 12);
        if (marker == SOS) break;
        at = end;
    }
    if (!facts[MARKER] || table >= TABLES) return 1;
    facts[TABLE_SUM] = sums[table];
    return 0;
}
