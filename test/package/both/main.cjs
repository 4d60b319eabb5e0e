// One process that requires and imports the package: both are the same.
const assert = require('node:assert/strict');
const required = require('ballermann');

async function main() {
  const imported = await import('ballermann');
  const supervisor = await required.supervise({ exec: process.argv[2], replicas: 1 });
  await imported.balance(supervisor, 'work');
  assert.equal(required.pid('work'), imported.pid('work'));
  const { sum, pid } = await required.call('work', [2, 3]);
  assert.equal(sum, 5);
  assert.equal(pid, imported.pid('work'));
  await supervisor.close();
  console.log('all answers right');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
