/**
 * Fails where npm knows of an advisory, moderate or worse, against a package that this one or its development uses.
 *
 *   node scripts/audit.js [--strict]
 *
 * Not every registry answers that question: mirrors often do not. Then nothing was audited, which it says; it is a
 * failure with `--strict` only.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { npmCommand } from './lib/npm.js';

/** What a registry says that has no audit: forbidden, not found, not allowed, not implemented. */
const NO_AUDIT = [403, 404, 405, 501];
const WORSE = ['moderate', 'high', 'critical'];

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({ options: { strict: { type: 'boolean', default: false } } });

const [npm, args] = npmCommand(['audit', '--json', '--include=dev']);
const { stdout, stderr, error } = spawnSync(npm, args, { cwd: root, encoding: 'utf8' });
const report = parse(stdout);

if (report?.metadata?.vulnerabilities !== undefined) {
  sayAdvisories(report);
} else if (NO_AUDIT.includes(report?.statusCode)) {
  console.log(`NOT DONE: the registry in use has no audit (it answered ${report.statusCode})`);
  if (values.strict) process.exitCode = 1;
} else {
  console.log(`npm audit failed: ${error?.message ?? report?.message ?? ''}\n${stderr}`.trimEnd());
  process.exitCode = 1;
}

function sayAdvisories({ metadata, vulnerabilities }) {
  for (const { name, severity, range } of Object.values(vulnerabilities)) {
    console.log(`${severity}: ${name} ${range}`);
  }
  const serious = WORSE.reduce((sum, severity) => sum + (metadata.vulnerabilities[severity] ?? 0), 0);
  console.log(
    `${metadata.dependencies?.total ?? '?'} packages audited, ${serious} with a moderate advisory or worse`,
  );
  if (serious > 0) process.exitCode = 1;
}

/** Undefined where npm did not say JSON. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
