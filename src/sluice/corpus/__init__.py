"""What can be said of a sample only beside all others: near-duplicates, equal bytes, repeated captions, splits.

A corpus step sees ids and small columns, never bytes: 64-bit hashes in, pairs, keepers and groups out. All of it is
pure, arrays to arrays; only an index of near pairs and a reference set are read from files.

| module | offers |
| --- | --- |
| `hamming` | all pairs of hashes within k bits, exact; the nearest hash of a reference set |
| `native_join`, `tree_plan` | that join by the native kernel: threads, bands, progress; its blocks |
| `sorted_join`, `wide_join`, `blocks` | the same in NumPy, for one word and for several |
| `hash_index` | a stored index of hashes, for daily additions |
| `clusters` | from pairs to clusters: stars, components, their diameters |
| `duplicates` | near-duplicates measured once and decided for any survivors; equal bytes; repeated captions |
| `against` | a reference set of hashes from a file |
| `split` | splits that cut through no group of duplicates |

**Stars are the default, not components.** Being near is not transitive: in a chain of images each 8 bits from the
next, the ends can be 64 bits apart, and connected components would remove all but one of them. A burst of photos or a
template with changing content makes such chains in any large corpus. A star has a centre, the sample that is kept, and
every sample removed is within k bits of it: each removal can be justified by one look at two images, and no two
members are further apart than 2k. The price: of two members of different stars that are near each other neither
removes the other, so near pairs between stars stay *across* members, but never between two keepers: what is kept is
free of near pairs, and everything removed is near something kept.

Components are preferable where a chain *is* the same thing: frames of one slow pan, a page scanned and cropped over
and over; and wherever leakage matters more than yield. Splits therefore always go by components, whatever removes the
duplicates.
"""
