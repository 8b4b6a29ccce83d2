/** What the HTTP endpoints ask of a member, and no more. */

export interface HealthSource {
  /** Alarms of the cluster as AlarmType numbers, one per member and kind. */
  alarms(): readonly number[];
  hasLeader(): boolean;
  isLearner(): boolean;
  /** Reads from this member alone. Rejects with the error a client would get. */
  serializableRead(): Promise<void>;
  /** Reads with the agreement of a quorum, within the time a request may take. Rejects with the error a client would get. */
  linearizableRead(): Promise<void>;
  versions(): ServedVersions;
  /** How full the store is, ready to be printed. */
  space(): Readonly<Record<string, string | number>>;
}

/** Versions as etcd tells them. */
export interface ServedVersions {
  /** Of this server: what clients take for the version of etcd. */
  readonly server: string;
  readonly cluster: string;
  readonly storage: string;
}
