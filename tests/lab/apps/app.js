// What an app in Node does; it answers ok, or how it failed. Arguments: its port, the folder it may write to, whether it is kept
// from all others.
const fs = require('fs'), http = require('http'), { Worker } = require('worker_threads'), { execFileSync } = require('child_process');
const [port, data, denied] = process.argv.slice(2);
const wait = worker => new Promise((well, ill) => { worker.on('message', well); worker.on('error', ill) });
async function all() {
  fs.writeFileSync(data + '/x', 'x');
  try { fs.writeFileSync(data + '/../x', 'x'); if (denied) return 'it could write' } catch (error) { if (!denied || error.code !== 'EROFS') throw error }
  if (await wait(new Worker(`require('worker_threads').parentPort.postMessage(7)`, { eval: true })) !== 7) return 'no worker';
  if (execFileSync('/bin/echo', ['x']).toString() !== 'x\n') return 'no child';
  await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  let sum = 0; for (let i = 0; i < 1e7; i++) sum += i % 7;
  require('crypto').randomBytes(8); require('os').networkInterfaces();
  return 'ok';
}
http.createServer((_, answer) => all().then(text => answer.end(text), error => answer.end(String(error.stack)))).listen(Number(port), '127.0.0.1');
