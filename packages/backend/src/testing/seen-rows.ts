/** What is shown to whoever opens a store, copied. */
import type { Place, Row, RowSight } from '../backend.ts';

export class SeenRows implements RowSight {
  readonly rows: Row[] = [];
  ends = 0;

  row(key: Place, value: Place): void {
    const copy = Buffer.from(value.bytes.subarray(value.at, value.end));
    this.rows.push({ key: key.bytes.toString('latin1', key.at, key.end), value: copy });
  }

  end(): void {
    this.ends++;
  }
}
