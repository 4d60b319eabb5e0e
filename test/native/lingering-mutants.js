/** Weakened variants of native/lingering.hpp, each one replaced text, that lingering.cc has to see. The check of the check. */
export const mutants = [
  {
    name: 'always',
    what: 'it is never left out',
    find: 'if (left_out_ == 0) return true;',
    replace: 'return true;',
  },
  {
    name: 'same',
    what: 'it is left out as often each time',
    find: 'std::min(2 * next_ + 1, kMost)',
    replace: '1u',
  },
  {
    name: 'endless',
    what: 'there is no most',
    find: 'std::min(2 * next_ + 1, kMost)',
    replace: '2 * next_ + 1',
  },
  {
    name: 'unforgiving',
    what: 'what pays again is left out as if it did not',
    find: 'has_paid ? 0 : ',
    replace: '',
  },
];
