/** Tables for a terminal or for a Markdown page. The first column is text, the others are figures. */

export type Row = readonly string[];

export function table(head: Row, rows: readonly Row[], markdown: boolean): string {
  const lines = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? '').length)));
  const cells = (line: Row): string[] =>
    widths.map((width, i) => (i === 0 ? (line[i] ?? '').padEnd(width) : (line[i] ?? '').padStart(width)));
  if (!markdown) return lines.map((line) => cells(line).join('  ').trimEnd()).join('\n');
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [cells(head), rule, ...rows.map(cells)].map((line) => `| ${line.join(' | ')} |`).join('\n');
}
