export { type Booted, foundingIds, walDirectory } from './bootstrap.ts';
export {
  type AutoCompaction,
  type InitialMember,
  type MemberConfig,
  memberDefaults,
  requestTimeoutMs,
} from './config.ts';
export { damageNote, isStoreDamage, rebuildAdvice } from './damage.ts';
export { computeAddedMemberId, computeClusterId, computeMemberId } from './identity.ts';
export { Leadership } from './leadership.ts';
export { etcdVersion, storageVersion } from './maintenance-server.ts';
export { Member } from './member.ts';
export { BackupError } from './offline/backup-file.ts';
export { type BackupStatus, backupStatus } from './offline/backup-status.ts';
export { type FoundingFlags, foundingMembers } from './offline/founding.ts';
export { type Restored, type RestoreOptions, restoreBackup } from './offline/restore.ts';
export { type Problem, type VerifyReport, verifyMember } from './offline/verify.ts';
export type {
  HashQuestion,
  LeaseQuestion,
  PeerAddress,
  PeerHandler,
  PeerIdentity,
  PeerInfo,
  PeerTransport,
  RemoteInfo,
  SnapshotChunks,
  StateStream,
} from './peer-transport.ts';
export { GrpcPeerTransport, type GrpcPeerTransportOptions } from './peers/grpc-peer-transport.ts';
export type { Runtime } from './runtime.ts';
export { memberServices } from './services.ts';
export { encodeSnapshot, SnapshotDecoder, type SnapshotRow } from './snapshot-codec.ts';
export { Refusal, type Speaker } from './standing.ts';
export { StartError } from './start-error.ts';
export { StateMachine, type StateMachineOptions } from './state-machine.ts';
