/** The gRPC status codes, as numbers (the wire) and by the two spellings people meet. */

/** Every gRPC status code. */
export const Status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** `'OUT_OF_RANGE'` and its like. */
export type StatusName = keyof typeof Status;

/** 0 to 16. */
export type StatusCode = (typeof Status)[StatusName];

// Go's spelling, which etcd puts into texts: watch cancel reasons, etcdctl's error lines.
const goNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const;

/** A status in Go's spelling, as metrics and texts of etcd have it: `PermissionDenied`; unknown codes as `Code(17)`. */
export function goStatusName(status: number): string {
  return goNames[status] ?? `Code(${status})`;
}

/** A status as Go's gRPC prints an error: `rpc error: code = PermissionDenied desc = …`. */
export function formatRpcError(status: number, message: string): string {
  return `rpc error: code = ${goStatusName(status)} desc = ${message}`;
}
