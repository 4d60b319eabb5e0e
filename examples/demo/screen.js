/** Shows the board: redrawn in place on a terminal, as lines with a time elsewhere. */

import { count } from './board.js';

const BAR = 24;
const useColor = !process.env.NO_COLOR;
const style = (code) => (text) => (useColor ? `\x1b[${code}m${text}\x1b[0m` : text);
const bold = style(1);
const dim = style(2);
const red = style(31);
const green = style(32);
const yellow = style(33);

/** @returns what ends it. */
export function show(board, title, seconds) {
  const isTerminal = process.stdout.isTTY && process.env.TERM !== 'dumb';
  return isTerminal ? redraw(board, title, seconds) : printLines(board, title);
}

function printLines(board, title) {
  const line = (seconds, text) => console.log(`${seconds.toFixed(1).padStart(5)} s  ${text}`);
  line(0, title);
  board.onEvent = ({ seconds, text }) => line(seconds, text);
  const timer = setInterval(() => {
    board.look();
    const { rate, answered } = board.totals();
    const rows = board.rows().filter(({ open, rate }) => open > 0 || rate > 0);
    const shares = rows.map((row) => `${count(row.rate)} (${row.open})`).join(', ');
    line(
      board.seconds,
      `  ${count(rate)} requests/s, ${count(answered)} answered; each (its connections): ${shares}`,
    );
  }, 1000);
  return () => clearInterval(timer);
}

function redraw(board, title, seconds) {
  const out = process.stdout;
  let height = 0;
  const draw = () => {
    const columns = out.columns || 80;
    const rows = out.rows || 24;
    const lines = picture(board, title, seconds, rows - 1).map((line) => clip(line, columns));
    const up = height > 0 ? `\x1b[${height}A` : '';
    out.write(`${up}${lines.map((line) => `\x1b[2K${line}\n`).join('')}\x1b[J`);
    height = lines.length;
  };
  const restore = () => out.write('\x1b[?25h');
  out.write('\x1b[?25l');
  process.once('exit', restore);
  out.on('resize', draw);
  const timer = setInterval(draw, 125);
  draw();
  return () => {
    clearInterval(timer);
    out.off('resize', draw);
    draw();
    restore();
    process.off('exit', restore);
  };
}

function picture(board, title, seconds, height) {
  board.look();
  const replicas = board.rows();
  const most = Math.max(1, ...replicas.map(({ rate }) => rate));
  const shown = replicas.slice(0, Math.max(4, height - 14));
  const hidden = replicas.length - shown.length;
  const lines = [
    `${bold(title)}${dim(`   ${Math.min(board.seconds, seconds).toFixed(1)} of about ${seconds} s`)}`,
    '',
    dim('    pid  state       connections  requests/s                              answered'),
    ...shown.map((row) => replicaLine(row, most)),
    ...(hidden > 0 ? [dim(`         and ${hidden} more`)] : []),
    '',
    `  ${totalsLine(board.totals())}`,
    '',
  ];
  const room = Math.max(1, height - lines.length);
  return [...lines, ...board.log.slice(-room).map(logLine)];
}

function replicaLine({ pid, state, open, rate, answered }, most) {
  const paint = state === 'up' ? green : state === 'starting' || state === 'stopping' ? yellow : red;
  const bar = '█'.repeat(Math.round((rate / most) * BAR)).padEnd(BAR);
  return [
    String(pid).padStart(7),
    paint(state.padEnd(10)),
    count(open).padStart(11),
    `${count(rate).padStart(10)}  ${bar}`,
    count(answered).padStart(8),
  ].join('  ');
}

function totalsLine({ rate, answered, failed, cutOff, paused }) {
  return [
    `${bold(count(rate))} requests/s`,
    `${count(answered)} answered`,
    `failed ${failed > 0 ? red(count(failed)) : '0'}`,
    `cut off by the kill ${cutOff}`,
    paused ? yellow('window: requests are held') : 'open',
  ].join(dim(' · '));
}

function logLine({ seconds, text }) {
  return `${dim(`${seconds.toFixed(1).padStart(5)} s`)}  ${text}`;
}

/** Cuts a line to the width of the terminal; escape sequences take no room. */
function clip(line, columns) {
  let room = columns;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with a control character
  const parts = line.split(/(\x1b\[[0-9;]*m)/);
  return parts
    .map((part, i) => {
      if (i % 2 === 1) return part;
      const cut = part.slice(0, room);
      room -= cut.length;
      return cut;
    })
    .join('');
}
