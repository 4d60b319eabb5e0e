/** A worker of poolifier's FixedClusterPool. CommonJS: as an ES module it hangs on Node 20. */

const { ClusterWorker } = require('poolifier');
const task = require('./task.cjs');

module.exports = new ClusterWorker((message) => task(message));
