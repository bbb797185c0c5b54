/**
 * What one proxy wants of one resource type, what it has been sent, and what it must be sent next. Pure: no stream, no
 * clock. Delta is the core; state-of-the-world differs in how requests are read and how whole the answers are.
 */

/** A resource as far as a subscription cares. */
export interface Versioned {
  readonly name: string;
  /** Changes exactly when the content does. */
  readonly version: string;
}

export interface DeltaRequest {
  readonly mode: "delta";
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: Readonly<Record<string, string>>;
  readonly nonce: string;
  readonly errorDetail?: string | undefined;
}

export interface SotwRequest {
  readonly mode: "sotw";
  readonly names: readonly string[];
  readonly version: string;
  readonly nonce: string;
  readonly errorDetail?: string | undefined;
}

export type SubscriptionRequest = DeltaRequest | SotwRequest;

/** What a request meant beside its subscriptions. */
export type Verdict =
  | { readonly kind: "none" }
  | { readonly kind: "ack"; readonly nonce: string; readonly version: string }
  | { readonly kind: "nack"; readonly nonce: string; readonly version: string; readonly detail: string }
  /** A nonce that is not (any more) the newest. */
  | { readonly kind: "stale"; readonly nonce: string };

export interface Update<R extends Versioned> {
  readonly resources: readonly R[];
  /** Names that are gone. State-of-the-world says it by leaving them out. */
  readonly removed: readonly string[];
}

/** The newest response and its fate, for `/debug/syncz`. */
export interface SubscriptionStatus {
  readonly state: "NOT SENT" | "STALE" | "NACK" | "SYNCED";
  readonly sentNonce: string;
  readonly sentVersion: string;
  readonly ackedNonce: string;
  readonly ackedVersion: string;
  readonly nack?: { readonly nonce: string; readonly version: string; readonly detail: string } | undefined;
  readonly isWildcard: boolean;
  readonly names: readonly string[];
  /** Names that the proxy has, as far as we know. */
  readonly sentNames: readonly string[];
}

/** How `next` looks. */
export interface NextOptions {
  /** Default true. False: nothing is taken away yet. */
  readonly withRemovals?: boolean;
  /** Only what was asked for goes out. */
  readonly isHeld?: boolean;
  /** An unanswered response holds nothing back any more. */
  readonly isImpatient?: boolean;
  /** Only these names can differ; `available` holds those of them that exist. */
  readonly among?: ReadonlySet<string> | undefined;
}

const EVERYTHING = "*";

export class Subscription<R extends Versioned> {
  readonly #mode: "delta" | "sotw";
  /** Whether an empty first request is the wildcard. State-of-the-world answers of such types are whole. */
  readonly #isWildcardType: boolean;
  #isFirst = true;
  #wasNamed = false;
  #isWildcard = false;
  readonly #names = new Set<string>();
  /** What the proxy has: sent on this stream, or told by it when it came back. */
  readonly #sent = new Map<string, Versioned>();
  /** State-of-the-world of whole types: what was sent, to be kept while removals wait. */
  readonly #sentResources = new Map<string, R>();
  /** Names whose presence or absence must be said, whatever was sent before. */
  readonly #mustAnswer = new Set<string>();
  /** A first wildcard request is answered even with nothing. */
  #mustRespond = false;
  /** Responses not yet answered, by nonce, oldest first. */
  readonly #outstanding = new Map<string, string>();
  #last = { nonce: "", version: "" };
  #acked = { nonce: "", version: "" };
  #nack: { readonly nonce: string; readonly version: string; readonly detail: string } | undefined;
  #isHolding = false;
  #hasCarriedOver = false;

  constructor(mode: "delta" | "sotw", isWildcardType: boolean) {
    this.#mode = mode;
    this.#isWildcardType = isWildcardType;
  }

  get isWildcard(): boolean {
    return this.#isWildcard;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** There is something to send that waits, for the answer to the push before it or for another type. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** A response has not been answered yet. */
  get isAwaitingAnswer(): boolean {
    return this.#outstanding.size > 0;
  }

  /** Takes a request in. `next` tells what it made necessary. */
  accept(request: SubscriptionRequest): Verdict {
    return request.mode === "delta" ? this.#acceptDelta(request) : this.#acceptSotw(request);
  }

  #acceptDelta(request: DeltaRequest): Verdict {
    const { subscribe, unsubscribe, initialVersions, nonce, errorDetail } = request;
    const verdict = nonce === "" ? NO_VERDICT : this.#answered(nonce, errorDetail);
    if (this.#isFirst) {
      this.#isFirst = false;
      for (const [name, version] of Object.entries(initialVersions)) this.#sent.set(name, { name, version });
      this.#hasCarriedOver = this.#sent.size > 0;
      const isLegacyWildcard = subscribe.length === 0 && unsubscribe.length === 0;
      if (isLegacyWildcard && this.#isWildcardType) this.#becomeWildcard();
      // Known by its version, and perhaps equal: no need to send it again.
      for (const name of subscribe) this.#subscribe(name, !this.#sent.has(name));
    } else {
      for (const name of subscribe) this.#subscribe(name, true);
    }
    // A nonce that is not the newest takes nothing away from what is subscribed.
    for (const name of unsubscribe) this.#unsubscribeDelta(name);
    return verdict;
  }

  #becomeWildcard(): void {
    if (this.#isWildcard) return;
    this.#isWildcard = true;
    // With nothing carried over the proxy waits for a first word, even if it is that there is nothing.
    if (!this.#hasCarriedOver) this.#mustRespond = true;
  }

  #subscribe(name: string, isForced: boolean): void {
    this.#wasNamed = true;
    if (name === EVERYTHING) {
      if (this.#isWildcardType) this.#becomeWildcard();
      return;
    }
    this.#names.add(name);
    if (!isForced) return;
    this.#sent.delete(name);
    this.#mustAnswer.add(name);
  }

  #unsubscribeDelta(name: string): void {
    if (name === EVERYTHING) {
      this.#isWildcard = false;
      for (const known of this.#sent.keys()) if (!this.#names.has(known)) this.#sent.delete(known);
      return;
    }
    if (!this.#names.delete(name)) return;
    this.#sent.delete(name);
    if (this.#isWildcard) this.#mustAnswer.add(name);
    else this.#mustAnswer.delete(name);
  }

  #acceptSotw(request: SotwRequest): Verdict {
    const { names, nonce, errorDetail } = request;
    // A nonce of an earlier stream on the first request says nothing here.
    const isFresh = nonce === "" || (this.#isFirst && this.#last.nonce === "");
    if (!isFresh && nonce !== this.#last.nonce) return { kind: "stale", nonce };
    let verdict: Verdict = NO_VERDICT;
    if (isFresh) {
      // A first request, or one that behaves as such: nothing counts as delivered.
      this.#outstanding.clear();
      this.#sent.clear();
      this.#sentResources.clear();
      this.#names.clear();
      this.#isWildcard = false;
    } else if (this.#outstanding.has(nonce)) {
      verdict = this.#answered(nonce, errorDetail);
    }
    const isWildcard = names.includes(EVERYTHING) || (names.length === 0 && !this.#wasNamed);
    if (names.length > 0) this.#wasNamed = true;
    if (isWildcard && this.#isWildcardType) {
      if (!this.#isWildcard) this.#mustRespond = true;
      this.#isWildcard = true;
    } else {
      this.#isWildcard = false;
    }
    this.#isFirst = false;
    this.#wantExactly(new Set(names.filter((name) => name !== EVERYTHING)));
    if (!this.#isWildcard) {
      for (const name of this.#sent.keys()) if (!this.#names.has(name)) this.#forget(name);
    }
    return verdict;
  }

  #wantExactly(wanted: ReadonlySet<string>): void {
    for (const name of wanted) {
      if (this.#names.has(name)) continue;
      this.#names.add(name);
      this.#mustAnswer.add(name);
      this.#sent.delete(name);
    }
    for (const name of this.#names) {
      if (wanted.has(name)) continue;
      this.#names.delete(name);
      this.#mustAnswer.delete(name);
    }
  }

  #forget(name: string): void {
    this.#sent.delete(name);
    this.#sentResources.delete(name);
  }

  #answered(nonce: string, errorDetail: string | undefined): Verdict {
    const version = this.#outstanding.get(nonce);
    if (version === undefined) return { kind: "stale", nonce };
    // Answers come in order: an earlier response that was not answered never will be.
    for (const earlier of this.#outstanding.keys()) {
      this.#outstanding.delete(earlier);
      if (earlier === nonce) break;
    }
    if (errorDetail === undefined) {
      this.#acked = { nonce, version };
      if (nonce === this.#last.nonce) this.#nack = undefined;
      return { kind: "ack", nonce, version };
    }
    // What was refused stays recorded as sent: it is not tried again until its content changes.
    this.#nack = { nonce, version, detail: errorDetail };
    return { kind: "nack", nonce, version, detail: errorDetail };
  }

  /** These must be sent once more though they have not changed: clusters that warm wait for their endpoints. */
  resend(names: Iterable<string>): void {
    for (const name of names) if (this.#names.has(name)) this.#mustAnswer.add(name);
  }

  /**
   * What has to be sent now, or undefined. `available` holds the newest state: everything with the wildcard, otherwise
   * the subscribed names that exist. While a response is unanswered only what was asked for goes out; the rest waits, and
   * then the newest state counts; so it does while `isHeld`. Without `withRemovals` nothing is taken away yet (clusters
   * go last).
   */
  next(
    available: ReadonlyMap<string, R>,
    { withRemovals = true, isHeld = false, isImpatient = false, among }: NextOptions = {},
  ): Update<R> | undefined {
    const changes = this.#changes(available, among);
    // A first request asks for everything: it is never held.
    const isUnanswered = !isImpatient && this.#outstanding.size > 0;
    const isBusy = !this.#mustRespond && (isHeld || isUnanswered);
    this.#isHolding = isBusy && (changes.resources.length > 0 || changes.removed.length > 0);
    const update = isBusy ? this.#onlyAskedFor(changes) : changes;
    const removed = withRemovals ? update.removed : update.removed.filter((name) => this.#mustAnswer.has(name));
    if (this.#mode === "delta") {
      const isEmpty = update.resources.length === 0 && removed.length === 0;
      return isEmpty && !this.#mustRespond ? undefined : { resources: update.resources, removed };
    }
    return this.#nextSotw(update.resources, removed, available, withRemovals);
  }

  #nextSotw(
    resources: readonly R[],
    removed: readonly string[],
    available: ReadonlyMap<string, R>,
    withRemovals: boolean,
  ): Update<R> | undefined {
    if (!this.#isWildcardType) {
      // Absence says nothing here; an answer with nothing in it would be none.
      return resources.length === 0 ? undefined : { resources, removed: [] };
    }
    if (resources.length === 0 && removed.length === 0 && !this.#mustRespond) return undefined;
    const whole = new Map<string, R>();
    if (!withRemovals) {
      for (const [name, resource] of this.#sentResources) if (this.#wants(name)) whole.set(name, resource);
    }
    for (const [name, resource] of available) if (this.#wants(name)) whole.set(name, resource);
    return { resources: [...whole.values()], removed };
  }

  #wants(name: string): boolean {
    return this.#isWildcard || this.#names.has(name);
  }

  #changes(available: ReadonlyMap<string, R>, among?: ReadonlySet<string>): Update<R> {
    const resources: R[] = [];
    const removed: string[] = [];
    for (const [name, resource] of available) {
      if (!this.#wants(name)) continue;
      if (this.#mustAnswer.has(name) || this.#sent.get(name)?.version !== resource.version) resources.push(resource);
    }
    for (const name of among ?? this.#sent.keys()) {
      if (!available.has(name) && this.#sent.has(name) && this.#wants(name)) removed.push(name);
    }
    for (const name of among ?? this.#mustAnswer) {
      if (!this.#mustAnswer.has(name)) continue;
      if (!available.has(name) && !this.#sent.has(name)) removed.push(name);
    }
    return { resources, removed };
  }

  #onlyAskedFor({ resources, removed }: Update<R>): Update<R> {
    if (this.#mustAnswer.size === 0) return { resources: [], removed: [] };
    return {
      resources: resources.filter(({ name }) => this.#mustAnswer.has(name)),
      removed: removed.filter((name) => this.#mustAnswer.has(name)),
    };
  }

  /** `update` went out under `nonce`. */
  committed(update: Update<R>, nonce: string, version: string): void {
    for (const resource of update.resources) {
      this.#sent.set(resource.name, resource);
      this.#mustAnswer.delete(resource.name);
      if (this.#mode === "sotw" && this.#isWildcardType) this.#sentResources.set(resource.name, resource);
    }
    for (const name of update.removed) {
      this.#forget(name);
      this.#mustAnswer.delete(name);
    }
    this.#mustRespond = false;
    this.#outstanding.set(nonce, version);
    this.#last = { nonce, version };
    this.#isHolding = false;
  }

  get status(): SubscriptionStatus {
    return {
      state: this.#state(),
      sentNonce: this.#last.nonce,
      sentVersion: this.#last.version,
      ackedNonce: this.#acked.nonce,
      ackedVersion: this.#acked.version,
      nack: this.#nack,
      isWildcard: this.#isWildcard,
      names: [...this.#names].sort(),
      sentNames: [...this.#sent.keys()].sort(),
    };
  }

  #state(): SubscriptionStatus["state"] {
    if (this.#outstanding.size > 0 || this.#isHolding) return "STALE";
    if (this.#nack !== undefined) return "NACK";
    if (this.#last.nonce !== "") return "SYNCED";
    // The proxy came back with everything as it is: there was nothing to send.
    return this.#hasCarriedOver && this.#mustAnswer.size === 0 ? "SYNCED" : "NOT SENT";
  }
}

const NO_VERDICT: Verdict = { kind: "none" };
