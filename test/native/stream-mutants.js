/** Weakened variants of native/stream.hpp, each one replaced text, that stream.cc has to see. The check of the check. */

const POSITION = 'if (there > kStreamBytes || there % kCellBytes != 0) return give_up();';
const PAD = 'if (pad > there) return give_up();';
const FRAME = 'if (!is_frame(word) || kind_of(word) == kPad || length > kMaxFrameBytes) return give_up();';
const FITS = 'if (span > there || span > to_end_of(head_)) return give_up();';
const HEAD = 'if (head - head_ > tail_ - head_ || head % kCellBytes != 0) broken_ = true;';

export const mutants = [
  {
    name: 'tail-far',
    what: 'a tail may be anywhere',
    find: POSITION,
    replace: 'if (there % kCellBytes != 0) return give_up();',
  },
  {
    name: 'tail-odd',
    what: 'a tail may be within a cell',
    find: POSITION,
    replace: 'if (there > kStreamBytes) return give_up();',
  },
  {
    name: 'pad-not-there',
    what: 'a pad may be longer than what is there',
    find: PAD,
    replace: '',
  },
  {
    name: 'pad-of-any-length',
    what: 'a pad may say anything',
    find: 'if (word != frame_of(static_cast<uint32_t>(pad - kCellBytes), kPad, false)) return give_up();',
    replace: '',
  },
  {
    name: 'bits',
    what: 'a frame may have bits that mean nothing',
    find: FRAME,
    replace: 'if (kind_of(word) == kPad || length > kMaxFrameBytes) return give_up();',
  },
  {
    name: 'pad-behind-pad',
    what: 'a pad may follow a pad',
    find: FRAME,
    replace: 'if (!is_frame(word) || length > kMaxFrameBytes) return give_up();',
  },
  {
    name: 'too-long',
    what: 'a frame may be as long as the memory',
    find: FRAME,
    replace: 'if (!is_frame(word) || kind_of(word) == kPad) return give_up();',
  },
  {
    name: 'not-there',
    what: 'a frame may be longer than what is there',
    find: FITS,
    replace: 'if (span > to_end_of(head_)) return give_up();',
  },
  {
    name: 'over-the-end',
    what: 'a frame may cross the end of the memory',
    find: FITS,
    replace: 'if (span > there) return give_up();',
  },
  {
    name: 'forgives',
    what: 'a stream that was broken is read again',
    find: 'if (broken_) return Front::kBroken;',
    replace: '',
  },
  {
    name: 'head-anywhere',
    what: 'a head may be anywhere',
    find: HEAD,
    replace: 'if (head % kCellBytes != 0) broken_ = true;',
  },
  {
    name: 'head-back',
    what: 'a head may go back',
    find: HEAD,
    replace: 'if (tail_ - head > kStreamBytes || head % kCellBytes != 0) broken_ = true;',
  },
  {
    name: 'head-odd',
    what: 'a head may be within a cell',
    find: HEAD,
    replace: 'if (head - head_ > tail_ - head_) broken_ = true;',
  },
  {
    name: 'writer-forgives',
    what: 'a writer goes on where the head was impossible',
    find: 'if (length > kMaxFrameBytes || broken_) return kNowhere;',
    replace: 'if (length > kMaxFrameBytes) return kNowhere;\n    broken_ = false;',
  },
  {
    name: 'sleeps-broken',
    what: 'who waits for room in a broken stream sleeps',
    find: 'return out.has_room(length) || out.is_broken();',
    replace: 'return out.has_room(length);',
  },
  {
    name: 'never-begins-again',
    what: 'an empty stream is gone around all the same',
    find: 'const bool begins_again = head_ == tail_ && !warm && span <= offset_of(tail_);',
    replace: 'const bool begins_again = false;',
  },
  {
    name: 'warm-to-the-brim',
    what: 'the pad behind the warm bytes lies outside of them',
    find: 'offset_of(tail_) + span < kWarmBytes;',
    replace: 'offset_of(tail_) + span <= kWarmBytes;',
  },
  {
    name: 'spare-in-use',
    what: 'memory is given back while there is something to read',
    find: '!look() || head_ != tail_) return {0, 0};',
    replace: '!look()) return {0, 0};',
  },
  {
    name: 'spare-again',
    what: 'what was given back is given back again',
    find: 'touched_ = 0;\n    return {begin',
    replace: 'return {begin',
  },
  {
    name: 'rings-who-waits-for-something-else',
    what: 'who sleeps is rung for anything',
    find: 'if ((sleeps_for.load(std::memory_order_seq_cst) & what) == 0) return false;',
    replace: '(void)what;',
  },
];
