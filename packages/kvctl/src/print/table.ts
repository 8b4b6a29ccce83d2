/** The table format: only for lists that have columns. */
import { box } from './box.ts';
import type { Output, Printer } from './reports.ts';
import { hashRows, healthRows, memberRows, snapshotRows, statusRows } from './rows.ts';

export function tablePrinter(output: Output): Printer {
  return {
    memberList: ({ members }) => output.out(box(memberRows(members))),
    endpointHealth: (list) => output.out(box(healthRows(list))),
    endpointStatus: (list) => output.out(box(statusRows(list))),
    endpointHashKv: (list) => output.out(box(hashRows(list))),
    snapshotStatus: (status) => output.out(box(snapshotRows(status))),
  };
}
