/** The one task that every contender's worker does: gives the message back, or works for a while. */

module.exports = function task(message) {
  if (message.turns === undefined) return message;
  return { n: message.n, sum: spin(message.turns) };
};

/** Busy for as long as `turns` says, the same for every process; the sum proves that the work was done. */
function spin(turns) {
  let state = 1;
  for (let i = 0; i < turns; i++) state = (Math.imul(state, 1664525) + 1013904223) | 0;
  return state;
}

module.exports.spin = spin;
