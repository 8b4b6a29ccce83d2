/**
 * Vitest reporter: ends every test run with one line that counts, `N passed, N failed, N skipped`, after the names of the tests
 * that were skipped and why. A file that could not be loaded and a hook that failed count as failed, once each, beside the
 * tests. Written when the process exits, so that nothing comes after it.
 */
export default class SummaryReporter {
  #text = '';

  constructor() {
    process.once('exit', () => process.stdout.write(this.#text));
  }

  onTestRunEnd(modules, unhandledErrors, reason) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skipped = [];
    for (const module of modules) {
      count.failed += brokenParts(module);
      for (const test of module.children.allTests()) {
        const { state, note } = test.result();
        if (state === 'passed') count.passed++;
        else if (state === 'failed') count.failed++;
        else {
          count.skipped++;
          skipped.push(`  ${test.fullName}${note === undefined ? '' : ` (${note})`}`);
        }
      }
    }
    // The runner itself calls the run failed (or it was interrupted) for a reason that is no test: no tests found, for example.
    if (reason !== 'passed' && count.failed === 0) count.failed = 1;
    const names = skipped.length === 0 ? '' : `\nskipped:\n${skipped.join('\n')}\n`;
    this.#text = `${names}\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`;
  }
}

/** The file itself and its suites, where they have errors of their own: failed to load, failed in a hook. */
function brokenParts(module) {
  const suites = [...module.children.allSuites()];
  return [module, ...suites].filter((part) => part.errors().length > 0).length;
}
