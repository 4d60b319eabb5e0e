/**
 * Draws docs/demo.svg: what `npm start` writes without a terminal. A line is faint until the time at which it came, so the picture is
 * never empty. The file needs nothing else that a browser would have to load.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const file = join('docs', 'demo.svg');

/** So few that the text can still be read where the picture is as wide as a phone. */
const COLUMNS = 64;
const [COLUMN, ROW, MARGIN] = [8, 19, 16]; // px
/** s that the whole stands before it begins again. */
const REST = 8;

const lines = await record();
writeFileSync(join(root, file), draw(lines));
console.log(`${file}: ${lines.length} lines`);

/** The lines, each with the seconds from the first one on. */
async function record() {
  const demo = spawn(process.execPath, [join(root, 'examples', 'demo', 'main.js'), '--seconds', '8'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const found = [];
  let began;
  createInterface({ input: demo.stdout }).on('line', (text) => {
    began ??= performance.now();
    found.push({ text: shortened(text), seconds: (performance.now() - began) / 1_000 });
  });
  const [code] = await once(demo, 'close');
  if (code !== 0) throw new Error(`the demo ended with ${code}`);
  // The summary says again what the lines before it say. Its last line is the result.
  const end = found.findIndex(({ text }) => text === '');
  return [...found.slice(0, end + 1), found.at(-1)];
}

/** Without what is too much for a picture: what each replica did, and what the window is for. */
function shortened(text) {
  const short = text
    .replace(/^ /, '')
    .replace(/; each \(its connections\).*$/, '')
    .replace('rewrite all pages in place', 'fn');
  return short.length > COLUMNS ? `${short.slice(0, COLUMNS - 1)}…` : short;
}

/** The steps and the result stand out, and the figures of each second stand back. */
function kindOf(text) {
  if (/s {2}\d {2}|^ ?requests \d/.test(text)) return ' class="step"';
  return /requests\/s,/.test(text) ? ' class="tick"' : '';
}

function draw(all) {
  const [width, height] = [COLUMNS * COLUMN + 2 * MARGIN, all.length * ROW + 2 * MARGIN];
  const length = (all.at(-1)?.seconds ?? 0) + REST;
  const rows = all.map(({ text, seconds }, index) => {
    const begins = ((seconds / length) * 100).toFixed(2);
    const y = MARGIN + (index + 0.75) * ROW;
    return {
      frames: `@keyframes l${index}{0%,${begins}%{opacity:.15}${(Number(begins) + 0.01).toFixed(2)}%,100%{opacity:1}}`,
      row: `<text${kindOf(text)} style="animation-name:l${index}" x="${MARGIN}" y="${y}" xml:space="preserve">${escaped(text)}</text>`,
    };
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width.toFixed(0)} ${height}" width="${width.toFixed(0)}" role="img">
<title>npm start: a server under load. One replica is killed, a window opens, all replicas are replaced; no request fails.</title>
<style>
rect{fill:#16181d;stroke:#30363d}
text{fill:#d6dce3;font:13px ui-monospace,Menlo,Consolas,monospace;animation-duration:${length.toFixed(1)}s;animation-iteration-count:infinite}
.step{fill:#7ee787;font-weight:bold}
.tick{fill:#8b949e}
@media (prefers-reduced-motion:reduce){text{animation:none}}
${rows.map(({ frames }) => frames).join('\n')}
</style>
<rect x="0.5" y="0.5" width="${(width - 1).toFixed(0)}" height="${height - 1}" rx="8"/>
${rows.map(({ row }) => row).join('\n')}
</svg>
`;
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
