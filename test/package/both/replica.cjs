const { BallermannError, pid } = require('ballermann');
const { handle } = require('ballermann/replica');

void Promise.all([import('ballermann'), import('ballermann/replica')]).then(([imported, replica]) => {
  const isSame = imported.BallermannError === BallermannError && replica.handle === handle;
  replica.handle(([a, b]) => ({ sum: isSame ? a + b : 'two copies', pid: pid('work') }));
});
