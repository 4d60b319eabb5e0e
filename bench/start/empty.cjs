// Says what CPU time its process has had.
process.on('exit', () => console.log(JSON.stringify(process.cpuUsage())));
