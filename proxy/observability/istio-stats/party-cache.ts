/**
 * Parties with their series, found by the objects of a stream. Each object is given a number once (equal content, equal
 * number), so that a request costs three look-ups by identity and one by number.
 */
import type { TlsInfo } from "#lib/connection.ts";
import type { Cluster } from "../../upstream/types.ts";
import type { PeerMetadata } from "../peer.ts";
import type { Parties } from "./labels.ts";

export interface KnownParties<S> {
  readonly parties: Parties;
  /** By the number of the outcome. */
  readonly series: Map<number, S>;
}

/** More than there are workloads in a mesh; three of them make a whole number that is exact. */
const RADIX = 1 << 17;

export class PartyCache<S> {
  readonly #byNumber = new Map<number, KnownParties<S>>();
  /** Where the Host header is part of the labels. */
  readonly #byHost = new Map<string, KnownParties<S>>();
  readonly #clusters = new Numbers<Cluster>(
    ({ name, metadata }) => `${name} ${JSON.stringify(metadata["istio"] ?? {})}`,
  );
  readonly #peers = new Numbers<PeerMetadata>((peer) => JSON.stringify(peer));
  readonly #tls = new Numbers<TlsInfo>(
    ({ peer, local }) => `${peer === undefined ? "-" : (peer.uriSans[0] ?? "")} ${local?.uriSans[0] ?? ""}`,
  );

  /** The parties of these; `make` is called the first time only. */
  get(
    cluster: Cluster | undefined,
    peer: PeerMetadata | undefined,
    tls: TlsInfo | undefined,
    host: string,
    make: () => Parties,
  ): KnownParties<S> {
    const number = (this.#clusters.of(cluster) * RADIX + this.#peers.of(peer)) * RADIX + this.#tls.of(tls);
    if (host !== "") return known(this.#byHost, `${number} ${host}`, make);
    return known(this.#byNumber, number, make);
  }
}

function known<K, S>(all: Map<K, KnownParties<S>>, key: K, make: () => Parties): KnownParties<S> {
  let found = all.get(key);
  if (found === undefined) {
    found = { parties: make(), series: new Map() };
    all.set(key, found);
  }
  return found;
}

/** Numbers for objects: 0 for none, else from 1 on. */
class Numbers<T extends object> {
  readonly #byObject = new WeakMap<T, number>();
  readonly #byContent = new Map<string, number>();
  readonly #contentOf: (value: T) => string;
  constructor(contentOf: (value: T) => string) {
    this.#contentOf = contentOf;
  }

  of(value: T | undefined): number {
    if (value === undefined) return 0;
    return this.#byObject.get(value) ?? this.#number(value);
  }

  #number(value: T): number {
    const content = this.#contentOf(value);
    const number = this.#byContent.get(content) ?? this.#byContent.size + 1;
    this.#byContent.set(content, number);
    this.#byObject.set(value, number);
    return number;
  }
}
