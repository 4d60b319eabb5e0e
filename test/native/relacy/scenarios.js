/** The scenarios of scenarios.cc, and the weakened variants of the ring that they have to catch. */

/**
 * `bound`: how many forced switches between threads are tried in every possible way; `random`: how many random
 * executions there are besides; each as [in CI, at length].
 */
export const scenarios = [
  { name: 'claims2', type: 'Claims<2>', bound: [4, 9], random: [100_000, 10_000_000] },
  { name: 'claims3', type: 'Claims<3>', bound: [2, 4], random: [100_000, 10_000_000] },
  { name: 'change2', type: 'Change<2>', bound: [2, 5], random: [100_000, 10_000_000] },
  { name: 'change3', type: 'Change<3>', bound: [2, 3], random: [100_000, 10_000_000] },
  { name: 'reuse1', type: 'Reuse<1>', bound: [4, 12], random: [100_000, 10_000_000] },
  { name: 'reuse2', type: 'Reuse<2>', bound: [2, 4], random: [100_000, 10_000_000] },
  { name: 'reuse3', type: 'Reuse<3>', bound: [1, 2], random: [100_000, 10_000_000] },
  { name: 'late', type: 'LateReuse', bound: [3, 7], random: [100_000, 10_000_000] },
  { name: 'empty', type: 'Empty', bound: [3, 10], random: [100_000, 10_000_000] },
  { name: 'pause2', type: 'Pause<2>', bound: [2, 5], random: [100_000, 10_000_000] },
  { name: 'pause3', type: 'Pause<3>', bound: [1, 3], random: [100_000, 10_000_000] },
  { name: 'counted', type: 'Counted', bound: [4, 30], random: [100_000, 10_000_000] },
  { name: 'window2', type: 'Window<2>', bound: [2, 5], random: [100_000, 10_000_000] },
  { name: 'window3', type: 'Window<3>', bound: [1, 3], random: [100_000, 10_000_000] },
  { name: 'directory1', type: 'Directory<1>', bound: [2, 6], random: [100_000, 10_000_000] },
  { name: 'directory2', type: 'Directory<2>', bound: [1, 2], random: [100_000, 10_000_000] },
  { name: 'reopen', type: 'Reopen', bound: [3, 8], random: [100_000, 10_000_000] },
  { name: 'lookup', type: 'Lookup', bound: [2, 5], random: [100_000, 10_000_000] },
];

/**
 * Each replaces one text of native/ring.hpp, or defines a macro of scenarios.cc, and
 * names the scenarios that should catch it. The check of the checks.
 */

const CLAIM_SWAP = `ring.word.compare_exchange_weak(word, word_of(ticket, own.key), std::memory_order_acq_rel,
                                        std::memory_order_acquire)`;
const PUBLISH_SWAP = `ring.word.compare_exchange_weak(word, word_of(scattered(key), key), std::memory_order_acq_rel,
                                        std::memory_order_acquire)`;
const FIRST_LOAD_OF_CLAIM = `inline Claimed claim(Ring& ring, uint32_t wanted, Rotation& own) {
  uint64_t word = ring.word.load(std::memory_order_acquire);`;

export const mutants = [
  {
    name: 'claim-swap-relaxed',
    what: "the claim's swap is relaxed on success",
    find: CLAIM_SWAP,
    replace: CLAIM_SWAP.replace('acq_rel', 'relaxed'),
    scenarios: ['late', 'reuse2'],
  },
  {
    name: 'claim-failure-relaxed',
    what: "the claim's swap is relaxed on failure",
    find: CLAIM_SWAP,
    replace: CLAIM_SWAP.replace('order_acquire', 'order_relaxed'),
    scenarios: ['change2'],
  },
  {
    name: 'claim-load-relaxed',
    what: "the claim's first load is relaxed",
    find: FIRST_LOAD_OF_CLAIM,
    replace: FIRST_LOAD_OF_CLAIM.replace('acquire', 'relaxed'),
    scenarios: ['change2', 'reuse2'],
  },
  {
    name: 'publish-swap-relaxed',
    what: "publish's swap is relaxed",
    find: PUBLISH_SWAP,
    replace: PUBLISH_SWAP.replace('acq_rel', 'relaxed'),
    scenarios: ['change2'],
  },
  {
    name: 'publish-swap-acquire',
    what: "publish's swap does not release the table",
    find: PUBLISH_SWAP,
    replace: PUBLISH_SWAP.replace('acq_rel', 'acquire'),
    scenarios: ['change2'],
  },
  {
    name: 'no-key-check',
    what: 'a table once copied is never copied again',
    find: 'if (own.key != key_of(word)) {',
    replace: 'if (own.key == kNoKey) {',
    scenarios: ['change2'],
  },
  {
    name: 'copy-after-swap',
    what: 'the table is copied after the swap instead of before it',
    find: 'own.first = ticket_of(word) % own.count;',
    replace:
      'copy_table(ring.tables[table_of(own.key)], own);\n      own.first = ticket_of(word) % own.count;',
    scenarios: ['reuse2'],
  },
  {
    name: 'fetch-add',
    what: 'the flag is looked at first, the tickets are taken by fetch_add afterwards',
    find: CLAIM_SWAP,
    replace: 'ring.word.fetch_add(uint64_t{tickets} << 32, std::memory_order_acq_rel) || ticket == 0',
    scenarios: ['pause2', 'change2'],
  },
  {
    name: 'no-pause-check',
    what: 'a claim does not look at the paused flag',
    find: 'if (is_paused(word)) return Claimed::kPaused;',
    replace: '',
    scenarios: ['pause2'],
  },
  {
    name: 'one-buffer',
    what: 'both generations share one table: it is rewritten one generation too early',
    find: 'return key >> 1 & 1;',
    replace: 'return key & 0;',
    scenarios: ['change2'],
  },
  {
    name: 'empty-not-proven',
    what: '`empty` is answered when a load, not a swap, finds the word unchanged',
    find: 'if (ring.word.compare_exchange_weak(word, word, std::memory_order_acq_rel, std::memory_order_acquire))',
    replace: 'if (key_of(ring.word.load(std::memory_order_acquire)) == own.key)',
    scenarios: ['empty'],
  },
  {
    name: 'wrap-not-reduced',
    what: 'the ticket wraps as it comes, not by whole rotations',
    find: 'end > UINT32_MAX ? end % own.count : end',
    replace: 'end',
    scenarios: ['claims2'],
  },
  {
    name: 'part-rotations',
    what: 'a claim takes as many tickets as were asked for',
    find: 'std::max(wanted / own.count, 1u) * own.count',
    replace: 'wanted',
    scenarios: ['claims2'],
  },
  {
    name: 'publish-unpauses',
    what: 'a new generation begins with the flag cleared',
    find: 'return key + 2; }',
    replace: 'return (key & ~1u) + 2; }',
    scenarios: ['pause2'],
  },
  {
    name: 'enter-looks-first',
    what: 'enter() looks at the flag before it counts',
    find: `  running.fetch_add(1, std::memory_order_seq_cst);
  if (!is_paused(ring.word.load(std::memory_order_seq_cst))) return true;
  running.fetch_sub(1, std::memory_order_seq_cst);
  return false;`,
    replace: `  if (is_paused(ring.word.load(std::memory_order_seq_cst))) return false;
  running.fetch_add(1, std::memory_order_seq_cst);
  return true;`,
    scenarios: ['counted'],
  },
  {
    name: 'enter-acquire-release',
    what: 'enter() counts and looks with acquire and release only',
    find: `  running.fetch_add(1, std::memory_order_seq_cst);
  if (!is_paused(ring.word.load(std::memory_order_seq_cst))) return true;`,
    replace: `  running.fetch_add(1, std::memory_order_acq_rel);
  if (!is_paused(ring.word.load(std::memory_order_acquire))) return true;`,
    scenarios: ['counted'],
  },
  {
    name: 'counts-read-acquire',
    what: 'the pauser reads the counts with acquire only',
    find: 'slot.running[pool].load(std::memory_order_seq_cst)',
    replace: 'slot.running[pool].load(std::memory_order_acquire)',
    scenarios: ['counted'],
  },
  {
    name: 'leave-relaxed',
    what: 'leave() gives the count back relaxed: the window need not see the work',
    find: 'inline void leave(std::atomic<uint32_t>& running) { running.fetch_sub(1, std::memory_order_seq_cst); }',
    replace:
      'inline void leave(std::atomic<uint32_t>& running) { running.fetch_sub(1, std::memory_order_relaxed); }',
    scenarios: ['window2'],
  },
  {
    name: 'resume-relaxed',
    what: 'resume() is relaxed: the work after a window need not see what it did',
    find: 'ring.word.fetch_and(~kPaused, std::memory_order_seq_cst)',
    replace: 'ring.word.fetch_and(~kPaused, std::memory_order_relaxed)',
    scenarios: ['counted', 'window2'],
  },
  {
    name: 'no-epoch-recheck',
    what: 'find_ring() does not look at the epoch again',
    find: 'if (same && ring.epoch.load(std::memory_order_relaxed) == epoch) return index;',
    replace: 'if (same) return index;',
    scenarios: ['directory1'],
  },
  {
    name: 'find-no-fence',
    what: 'find_ring() has no fence before it looks at the epoch again',
    find: 'std::atomic_thread_fence(std::memory_order_acquire);',
    replace: '',
    scenarios: ['directory1'],
  },
  {
    name: 'open-no-fence',
    what: 'open_ring() has no fence before it writes the name',
    find: 'std::atomic_thread_fence(std::memory_order_release);',
    replace: '',
    scenarios: ['directory1'],
  },
  {
    name: 'open-epoch-relaxed',
    what: "open_ring() does not release the name with the ring's new epoch",
    find: 'ring.epoch.store(epoch + 1, std::memory_order_release);',
    replace: 'ring.epoch.store(epoch + 1, std::memory_order_relaxed);',
    scenarios: ['directory1', 'reopen'],
  },
  {
    name: 'epoch-before-claim',
    what: 'a caller looks at the epoch before its claim instead of after it',
    define: 'EPOCH_BEFORE_CLAIM',
    scenarios: ['lookup'],
  },
  {
    name: 'no-second-find',
    what: 'a caller reads the epoch of the ring it found without looking whether the name still has it',
    define: 'NO_SECOND_FIND',
    scenarios: ['lookup'],
  },
];
