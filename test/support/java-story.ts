/**
 * Compiles and runs the stories in Java: JavaStory.java with Debian's gRPC, JdkHttpStory.java with nothing but the JDK. What is not
 * installed makes the tests that need it skip.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './kvctl.ts';

const directory = dirname(fileURLToPath(import.meta.url));
const source = join(directory, 'JavaStory.java');
const jarDirectory = '/usr/share/java';
const required = [
  'grpc-api',
  'grpc-context',
  'grpc-core',
  'grpc-netty',
  'grpc-stub',
  'netty-all',
  'perfmark-api',
  'guava',
];
/** Parts of the above, or what they only mention; packaged differently from release to release. */
const optional = [
  ...['buffer', 'codec', 'codec-http', 'codec-http2', 'codec-socks', 'common', 'handler', 'handler-proxy', 'resolver'],
  'transport',
]
  .map((part) => `netty-${part}`)
  .concat(['gson', 'failureaccess', 'error_prone_annotations', 'jsr305', 'opencensus-api']);
const pathOf = (jar: string): string => join(jarDirectory, `${jar}.jar`);

/** Whether there is a compiler. */
export function hasJdk(): boolean {
  try {
    execFileSync('javac', ['-version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Whether there are the libraries as well. */
export function hasJavaGrpc(): boolean {
  return required.every((jar) => existsSync(pathOf(jar))) && hasJdk();
}

/** What JdkHttpStory.java hears from `endpoint` over TLS. */
export function jdkHttpStory(
  endpoint: string,
  files: readonly [ca: string, cert: string, key: string],
): Promise<unknown[]> {
  return run([join(directory, 'JdkHttpStory.java'), endpoint, ...files]);
}

export class JavaStory {
  readonly #directory: string;
  readonly #classPath: string;

  /** Compiles; close() removes what came of it. */
  static async compile(): Promise<JavaStory> {
    const story = new JavaStory();
    const args = ['-proc:none', '-d', story.#directory, '-cp', story.#classPath, source];
    const { code, stderr } = await runCommand('javac', args, { limitMs: 120_000 });
    if (code !== 0) throw new Error(`javac: ${stderr}`);
    return story;
  }

  private constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'java-story-'));
    const jars = [...required, ...optional].map(pathOf).filter((path) => existsSync(path));
    this.#classPath = [this.#directory, ...jars].join(':');
  }

  /** Tells the story to `endpoint` and answers with what was heard. */
  tell(endpoint: string): Promise<unknown[]> {
    return run(['-cp', this.#classPath, 'JavaStory', endpoint]);
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Runs to the end; one JSON value a line. */
async function run(args: readonly string[]): Promise<unknown[]> {
  // One processor's worth of compiler and collector: the program runs for seconds only.
  const options = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
  const { code, stdout, stderr } = await runCommand('java', [...options, ...args], { limitMs: 120_000 });
  if (code !== 0) throw new Error(`java: exit ${code}\n${stdout}\n${stderr}`);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}
