/** The scenarios of stream.cc, and the weakened variants of the streams that they have to catch; as in scenarios.js. */

export const scenarios = [
  { name: 'one_way', type: 'OneWay<Mixed, 5>', bound: [3, 6], random: [100_000, 10_000_000] },
  { name: 'large', type: 'OneWay<Large, 4>', bound: [3, 6], random: [100_000, 10_000_000] },
  { name: 'uneven', type: 'OneWay<Uneven, 5>', bound: [3, 6], random: [100_000, 10_000_000] },
  { name: 'grows', type: 'OneWay<Mixed, 5, true>', bound: [3, 6], random: [100_000, 10_000_000] },
  { name: 'spares', type: 'OneWay<Mixed, 5, false, true>', bound: [3, 6], random: [100_000, 10_000_000] },
  { name: 'both_ways', type: 'BothWays<Mixed, 3>', bound: [2, 4], random: [100_000, 10_000_000] },
  { name: 'both_ways_large', type: 'BothWays<Large, 3>', bound: [1, 3], random: [100_000, 10_000_000] },
  { name: 'woken_otherwise', type: 'WokenOtherwise<Large, 3>', bound: [1, 3], random: [100_000, 10_000_000] },
];

const PUBLISH = 'stream_.tail.store(tail_, std::memory_order_seq_cst);';
const RELEASE = 'stream_.head.store(head_, std::memory_order_seq_cst);';
const SEE_HEAD = 'stream_.head.load(std::memory_order_seq_cst)';
const SEE_NEWS = 'stream_.tail.load(std::memory_order_seq_cst)';
const SLEEP = 'sleeps_for_.store(what, std::memory_order_seq_cst);';
const SEE_SLEEPER = 'sleeps_for.load(std::memory_order_seq_cst) & what';
const RING_FOR_DATA = 'return takes_sleeper(reader_sleeps_for_, kForData);';
const RING_FOR_ROOM =
  'return tail_ - head_ <= kStreamBytes / 2 && takes_sleeper(writer_sleeps_for_, kForRoom);';
const LOOK_AGAIN =
  'if (!(wanted.data && in.has_news()) && !(wanted.room && has_room(wanted.length))) return true;';

export const mutants = [
  {
    name: 'publish-relaxed',
    what: 'the tail is published relaxed: the reader need not see the frame',
    find: PUBLISH,
    replace: PUBLISH.replace('seq_cst', 'relaxed'),
    scenarios: ['one_way'],
  },
  {
    name: 'publish-release',
    what: 'the tail is published with release only: the look for a sleeper may come before it',
    find: PUBLISH,
    replace: PUBLISH.replace('seq_cst', 'release'),
    scenarios: ['one_way'],
  },
  {
    name: 'read-relaxed',
    what: 'the reader does not acquire the tail',
    find: 'stream_.tail.load(std::memory_order_acquire)',
    replace: 'stream_.tail.load(std::memory_order_relaxed)',
    scenarios: ['one_way'],
  },
  {
    name: 'release-relaxed',
    what: 'the head is published relaxed: the writer may write while it is read',
    find: RELEASE,
    replace: RELEASE.replace('seq_cst', 'relaxed'),
    scenarios: ['one_way'],
  },
  {
    name: 'release-release',
    what: 'the head is published with release only: the look for a sleeper may come before it',
    find: RELEASE,
    replace: RELEASE.replace('seq_cst', 'release'),
    scenarios: ['large'],
  },
  {
    name: 'head-relaxed',
    what: 'the writer does not acquire the head',
    find: SEE_HEAD,
    replace: SEE_HEAD.replace('seq_cst', 'relaxed'),
    scenarios: ['one_way'],
  },
  {
    name: 'head-acquire',
    what: 'the writer that goes to sleep looks at the head with acquire only',
    find: SEE_HEAD,
    replace: SEE_HEAD.replace('seq_cst', 'acquire'),
    scenarios: ['large'],
  },
  {
    name: 'news-acquire',
    what: 'the reader that goes to sleep looks at the tail with acquire only',
    find: SEE_NEWS,
    replace: SEE_NEWS.replace('seq_cst', 'acquire'),
    scenarios: ['one_way'],
  },
  {
    name: 'sleep-release',
    what: 'a side says that it sleeps with release only',
    find: SLEEP,
    replace: SLEEP.replace('seq_cst', 'release'),
    scenarios: ['one_way'],
  },
  {
    name: 'sleeper-acquire',
    what: 'the look for a sleeper is acquire only',
    find: SEE_SLEEPER,
    replace: SEE_SLEEPER.replace('seq_cst', 'acquire'),
    scenarios: ['one_way'],
  },
  {
    name: 'sleep-late',
    what: 'a side looks once more, then says that it sleeps',
    find: `${SLEEP}
    ${LOOK_AGAIN}
    wake();
    return false;`,
    replace: `if ((wanted.data && in.has_news()) || (wanted.room && has_room(wanted.length))) return false;
    ${SLEEP}
    return true;`,
    scenarios: ['one_way'],
  },
  {
    name: 'no-look-for-data',
    what: 'a side that sleeps for data does not look once more',
    find: 'wanted.data && in.has_news()',
    replace: 'false',
    scenarios: ['one_way'],
  },
  {
    name: 'no-look-for-room',
    what: 'a side that sleeps for room does not look once more',
    find: 'wanted.room && has_room(wanted.length)',
    replace: 'false',
    scenarios: ['one_way'],
  },
  {
    name: 'rings-first',
    what: 'the look for a sleeper comes before the tail is published',
    find: `${PUBLISH}
    ${RING_FOR_DATA}`,
    replace: `const bool rings = takes_sleeper(reader_sleeps_for_, kForData);
    ${PUBLISH}
    return rings;`,
    scenarios: ['one_way'],
  },
  {
    name: 'rings-again',
    what: 'a sleeper is not taken, and is rung for each frame',
    find: 'return sleeps_for.exchange(0, std::memory_order_seq_cst) != 0;',
    replace: 'return true;',
    scenarios: ['one_way'],
  },
  {
    name: 'never-rings-for-room',
    what: 'nobody rings for room',
    find: RING_FOR_ROOM,
    replace: 'return false;',
    scenarios: ['one_way'],
  },
  {
    name: 'rings-for-data-only',
    what: 'who waits for room only is not rung',
    find: 'takes_sleeper(writer_sleeps_for_, kForRoom)',
    replace: 'takes_sleeper(writer_sleeps_for_, kForData)',
    scenarios: ['one_way'],
  },
  {
    name: 'rings-while-full',
    what: 'a waiting writer is rung while the stream is full, and not when it is empty',
    find: 'tail_ - head_ <= kStreamBytes / 2 &&',
    replace: 'tail_ - head_ > kStreamBytes / 2 &&',
    scenarios: ['one_way'],
  },
  {
    name: 'pad-not-counted',
    what: 'a frame at the beginning is written where the pad before it leaves no room',
    find: 'return around + span <= room ? tail_ + around : kNowhere;',
    replace: 'return span <= room ? tail_ + around : kNowhere;',
    scenarios: ['uneven'],
  },
  {
    name: 'begins-again-while-read',
    what: 'the warm bytes are written to whatever the reader still has',
    find: 'if (warm && tail_ + span - head_ <= kStreamBytes) return tail_;',
    replace: 'if (warm) return tail_;',
    scenarios: ['one_way'],
  },
  {
    name: 'no-pad',
    what: 'what is left at the end is not padded',
    find: 'data_[offset_of(tail_) / kCellBytes] = frame_of(pad, kPad, false);',
    replace: '(void)pad;',
    scenarios: ['one_way'],
  },
  {
    name: 'publish-early',
    what: 'the tail is published before the frame is complete',
    find: `data_[offset_of(at_) / kCellBytes] = frame_of(length, kind, more);
    tail_ = at_ + span_of(length);
    reserved_ = 0;
    ${PUBLISH}`,
    replace: `tail_ = at_ + span_of(length);
    ${PUBLISH}
    data_[offset_of(at_) / kCellBytes] = frame_of(length, kind, more);`,
    scenarios: ['one_way'],
  },
  {
    name: 'pop-early',
    what: 'the frame is released when it is looked at',
    find: 'front_ = span;',
    replace: 'front_ = span;\n    stream_.head.store(head_ + span, std::memory_order_seq_cst);',
    scenarios: ['one_way'],
  },
  {
    name: 'pad-not-skipped',
    what: 'the reader passes over a pad as if it was not there',
    find: 'head_ += pad;',
    replace: '',
    scenarios: ['one_way'],
  },
  {
    name: 'grows-over-the-reader',
    what: 'a place grows where it is, whatever lies behind it',
    find: 'const uint64_t at = reserved_ == 0 ? kNowhere : place(length);',
    replace: 'const uint64_t at = reserved_ == 0 ? kNowhere : at_;',
    scenarios: ['grows'],
  },
  {
    name: 'grows-empty',
    what: 'a place that moves loses what it holds',
    find: 'if (payload() != old) std::copy_n(old, cells, payload());',
    replace: '',
    scenarios: ['grows'],
  },
  {
    name: 'spare-in-use',
    what: 'memory is given back that the reader has not released',
    find: '|| !look() || head_ != tail_) return {0, 0};',
    replace: '|| !look()) return {0, 0};',
    scenarios: ['spares'],
  },
];
