/**
 * A view for those who pass the state on as it is, to another member or into a backup, and never look into its rows. What was damaged
 * here must not become somebody else's: every version is held against its checksum on its way out (other rows are by the backend).
 */
import { type BackendView, buckets } from '@quorate/backend';
import { mustBeSound } from '@quorate/mvcc';
import { isStoreDamage } from './damage.ts';
import type { Checksum } from './snapshot-codec.ts';

/** Told of damage, which is thrown as well: whoever waits for the state gets an error, and this process must end. */
export interface SoundViewOptions {
  readonly checksum: Checksum;
  readonly onFatal: (error: unknown) => void;
}

/** `view`, whose ranges throw CorruptionError for damaged rows. */
export function soundView(view: BackendView, { checksum, onFatal }: SoundViewOptions): BackendView {
  return {
    range: (bucket, range) => {
      try {
        const rows = view.range(bucket, range);
        if (bucket.id === buckets.key.id) for (const row of rows) mustBeSound(row, checksum);
        return rows;
      } catch (error) {
        if (isStoreDamage(error)) onFatal(error);
        throw error;
      }
    },
    close: () => view.close(),
  };
}
