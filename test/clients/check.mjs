// check(name, work): one assertion for test/t/clients.pl, which reads these lines.
// A program that hangs ends by itself, should the test be no more.
setTimeout(() => process.exit(1), 300_000).unref();

export async function check(name, work) {
  try {
    await work();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name}`);
    console.log(`${error.stack}\n${JSON.stringify(error.meta ?? error.cause ?? {})}`.replace(/^/gm, '# '));
  }
}
