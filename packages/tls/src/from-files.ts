/**
 * A value made from files, made anew when a file changed: certificates are renewed while servers run. Whether one changed is
 * asked each time the value is needed, which is once per connection; Kubernetes and others replace files in ways that change
 * notifications miss. Files that make no value, a certificate whose key is not there yet, leave the value before in place.
 */
import { readFileSync, statSync } from 'node:fs';
import { TlsError } from './settings.ts';

export interface FromFilesOptions<T> {
  /** Empty paths stand for no file. */
  readonly paths: readonly string[];
  /** Makes the value from the files' bytes, undefined for those without a path. May throw. */
  readonly make: (contents: readonly (Buffer | undefined)[]) => T;
  /** Changed files that make no value; said once per change. */
  readonly onFailure: (error: TlsError) => void;
}

export class FromFiles<T> {
  readonly #options: FromFilesOptions<T>;
  #stamp: string;
  #value: T;

  /** Throws TlsError when the files make no value now. */
  constructor(options: FromFilesOptions<T>) {
    this.#options = options;
    this.#stamp = this.#stampNow();
    this.#value = this.#make();
  }

  /** The value of the files as they are. */
  get current(): T {
    const stamp = this.#stampNow();
    if (stamp === this.#stamp) return this.#value;
    this.#stamp = stamp;
    try {
      this.#value = this.#make();
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.#options.onFailure(error);
    }
    return this.#value;
  }

  /** Changes whenever a file is written or replaced. */
  #stampNow(): string {
    return this.#options.paths
      .map((path) => {
        const stat = path === '' ? undefined : statSync(path, { bigint: true, throwIfNoEntry: false });
        return stat === undefined ? '-' : `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
      })
      .join(', ');
  }

  #make(): T {
    try {
      return this.#options.make(this.#options.paths.map((path) => (path === '' ? undefined : read(path))));
    } catch (error) {
      if (error instanceof TlsError) throw error;
      throw new TlsError(`${this.#options.paths.filter((path) => path !== '').join(', ')}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new TlsError(`open ${path}: ${code === 'ENOENT' ? 'no such file or directory' : message}`, { cause: error });
  }
}

/** Go's words for the two mistakes everybody makes; OpenSSL's for the others. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') return 'tls: private key does not match public key';
  if (code === 'ERR_OSSL_PEM_NO_START_LINE') return 'tls: failed to find any PEM data';
  return message;
}
