import { describe, expect, test } from "vitest";
import {
  Subscription,
  type DeltaRequest,
  type SotwRequest,
  type SubscriptionRequest,
  type Verdict,
  type Versioned,
} from "./subscription.ts";

interface Thing extends Versioned {
  readonly name: string;
  readonly version: string;
}

const world = (things: Readonly<Record<string, string>>): ReadonlyMap<string, Thing> =>
  new Map(Object.entries(things).map(([name, version]) => [name, { name, version }]));

const delta = (request: Partial<DeltaRequest>): DeltaRequest => ({
  mode: "delta",
  subscribe: [],
  unsubscribe: [],
  initialVersions: {},
  nonce: "",
  ...request,
});
const sotw = (request: Partial<SotwRequest>): SotwRequest => ({
  mode: "sotw",
  names: [],
  version: "",
  nonce: "",
  ...request,
});

/** A client of either mode: what it wants, what it has, and what it has been told. */
class Client {
  readonly has = new Map<string, string>();
  readonly subscription: Subscription<Thing>;
  lastNonce = "";
  readonly #mode: "delta" | "sotw";
  readonly #isWildcardType: boolean;
  #names: string[] = [];
  #sequence = 0;

  constructor(mode: "delta" | "sotw", isWildcardType: boolean) {
    this.#mode = mode;
    this.#isWildcardType = isWildcardType;
    this.subscription = new Subscription<Thing>(mode, isWildcardType);
  }

  want(...names: string[]): void {
    const added = names.filter((name) => !this.#names.includes(name));
    const dropped = this.#names.filter((name) => !names.includes(name));
    this.#names = names;
    this.#send(delta({ subscribe: added, unsubscribe: dropped }), sotw({ names, nonce: this.lastNonce }));
  }

  ack(nonce = this.lastNonce): Verdict {
    return this.#send(delta({ nonce }), sotw({ names: this.#names, nonce, version: "v" }));
  }

  nack(detail: string, nonce = this.lastNonce): Verdict {
    const errorDetail = detail;
    return this.#send(delta({ nonce, errorDetail }), sotw({ names: this.#names, nonce, errorDetail }));
  }

  #send(one: DeltaRequest, other: SotwRequest): Verdict {
    const request: SubscriptionRequest = this.#mode === "delta" ? one : other;
    return this.subscription.accept(request);
  }

  /** Lets the server look at the world; answers the names of what was sent, removals with a minus, or nothing. */
  look(things: ReadonlyMap<string, Thing>, options = {}): readonly string[] | undefined {
    const update = this.subscription.next(things, options);
    if (update === undefined) return undefined;
    this.#sequence += 1;
    this.lastNonce = `n${this.#sequence}`;
    this.subscription.committed(update, this.lastNonce, `v${this.#sequence}`);
    const isWhole = this.#mode === "sotw" && this.#isWildcardType;
    const names = new Set(update.resources.map(({ name }) => name));
    if (isWhole) for (const name of this.has.keys()) if (!names.has(name)) this.has.delete(name);
    for (const { name, version } of update.resources) this.has.set(name, version);
    if (this.#mode === "delta") for (const name of update.removed) this.has.delete(name);
    return [...[...names].sort(), ...(this.#mode === "delta" ? update.removed.map((name) => `-${name}`) : [])];
  }
}

describe.each(["delta", "sotw"] as const)("a subscription, %s", (mode) => {
  const wildcard = (): Client => {
    const client = new Client(mode, true);
    client.want();
    return client;
  };
  const named = (...names: string[]): Client => {
    const client = new Client(mode, false);
    client.want(...names);
    return client;
  };

  test("X-23, X-34: an empty first request is the wildcard", () => {
    const client = wildcard();
    expect(client.look(world({ a: "1", b: "1" }))).toEqual(["a", "b"]);
    expect(client.has).toEqual(
      new Map([
        ["a", "1"],
        ["b", "1"],
      ]),
    );
  });

  test("X-32: a first wildcard request is answered even if there is nothing", () => {
    const client = wildcard();
    expect(client.look(world({}))).toEqual([]);
    expect(client.look(world({}))).toBeUndefined();
  });

  test("X-22: nothing is sent when nothing changed", () => {
    const client = wildcard();
    client.look(world({ a: "1" }));
    client.ack();
    expect(client.look(world({ a: "1" }))).toBeUndefined();
  });

  test("a change reaches the client, a removal too (X-27, X-44)", () => {
    const client = wildcard();
    client.look(world({ a: "1", b: "1", c: "1" }));
    client.ack();
    client.look(world({ a: "2", b: "1" }));
    expect(client.has).toEqual(
      new Map([
        ["a", "2"],
        ["b", "1"],
      ]),
    );
  });

  test("one push at a time: while it is unanswered nothing more goes out, then the newest state counts", () => {
    const client = wildcard();
    client.look(world({ a: "1" }));
    expect(client.look(world({ a: "2" }))).toBeUndefined();
    expect(client.subscription.isHolding).toBe(true);
    expect(client.look(world({ a: "3" }))).toBeUndefined();
    client.ack();
    expect(client.look(world({ a: "3" }))).toEqual(["a"]);
    expect(client.has.get("a")).toBe("3");
  });

  test("X-12, X-36: an answer with the nonce and no error is an ACK", () => {
    const client = wildcard();
    client.look(world({ a: "1" }));
    expect(client.subscription.status.state).toBe("STALE");
    expect(client.ack()).toEqual({ kind: "ack", nonce: "n1", version: "v1" });
    expect(client.subscription.status).toMatchObject({ state: "SYNCED", ackedNonce: "n1", ackedVersion: "v1" });
  });

  test("X-14: an answer with an error is a NACK; what was refused is not sent again until it changes", () => {
    const client = wildcard();
    client.look(world({ a: "1" }));
    client.ack();
    client.look(world({ a: "bad" }));
    expect(client.nack("no good")).toMatchObject({ kind: "nack", detail: "no good" });
    expect(client.subscription.status).toMatchObject({
      state: "NACK",
      nack: { detail: "no good" },
      ackedVersion: "v1",
    });
    expect(client.look(world({ a: "bad" }))).toBeUndefined();
    expect(client.look(world({ a: "1" }))).toEqual(["a"]);
    client.ack();
    expect(client.subscription.status.state).toBe("SYNCED");
  });

  test("X-19: a name that is added is answered though nothing has changed; one that is dropped is not", () => {
    const client = named("a");
    expect(client.look(world({ a: "1", b: "1" }))).toEqual(["a"]);
    client.ack();
    client.want("a", "b");
    expect(client.look(world({ a: "1", b: "1" }))).toEqual(["b"]);
    client.ack();
    client.want("b");
    expect(client.look(world({ a: "2", b: "1" }))).toBeUndefined();
  });

  test("what is asked for is answered even while another response is unanswered, and only that", () => {
    const client = named("a");
    client.look(world({ a: "1", b: "1" }));
    client.want("a", "b");
    if (mode === "sotw") client.lastNonce = "n1";
    expect(client.look(world({ a: "2", b: "1" }))).toEqual(mode === "delta" ? ["b"] : ["a", "b"]);
  });

  test("X-30, X-40, X-45: a name that does not exist is remembered and delivered when it appears", () => {
    const client = named("a");
    expect(client.look(world({}))).toEqual(mode === "delta" ? ["-a"] : undefined);
    expect(client.look(world({}))).toBeUndefined();
    if (mode === "delta") client.ack();
    expect(client.look(world({ a: "1" }))).toEqual(["a"]);
  });

  test("a name that is dropped and wanted again is sent again (X-38, X-46)", () => {
    const client = named("a");
    client.look(world({ a: "1" }));
    client.ack();
    client.want();
    expect(client.look(world({ a: "1" }))).toBeUndefined();
    client.want("a");
    expect(client.look(world({ a: "1" }))).toEqual(["a"]);
  });

  test("X-24: once a name was sent, an empty list is nothing, not everything", () => {
    const client = new Client(mode, true);
    client.want("a");
    expect(client.look(world({ a: "1", b: "1" }))).toEqual(["a"]);
    client.ack();
    client.want();
    expect(client.look(world({ a: "2", b: "2" }))).toBeUndefined();
  });

  test("X-24, X-25: `*` is everything; with a name beside it everything too; the name alone drops the rest", () => {
    const client = new Client(mode, true);
    client.want("*", "a");
    expect(client.look(world({ a: "1", b: "1" }))).toEqual(["a", "b"]);
    client.ack();
    client.want("a");
    client.look(world({ a: "1", b: "2" }));
    client.ack();
    expect(client.look(world({ a: "3", b: "3" }))).toEqual(["a"]);
  });

  test("X-54: removals wait while they are not allowed, then the names go", () => {
    const client = wildcard();
    client.look(world({ a: "1", old: "1" }));
    client.ack();
    client.look(world({ a: "2", new: "1" }), { withRemovals: false });
    expect([...client.has.keys()].sort()).toEqual(["a", "new", "old"]);
    client.ack();
    client.look(world({ a: "2", new: "1" }));
    expect([...client.has.keys()].sort()).toEqual(["a", "new"]);
  });

  test("X-58: what must be sent again is sent though it has not changed, if it is subscribed", () => {
    const client = named("a");
    client.look(world({ a: "1" }));
    client.ack();
    client.subscription.resend(["a", "stranger"]);
    expect(client.look(world({ a: "1" }))).toEqual(["a"]);
  });

  test("a held push says so and goes out later", () => {
    const client = named("a");
    client.look(world({ a: "1" }));
    client.ack();
    expect(client.look(world({ a: "2" }), { isHeld: true })).toBeUndefined();
    expect(client.subscription.isHolding).toBe(true);
    expect(client.look(world({ a: "2" }))).toEqual(["a"]);
  });

  test("a first wildcard request is answered wholly even while pushes are held", () => {
    expect(wildcard().look(world({ a: "1" }), { isHeld: true })).toEqual(["a"]);
  });

  test("a type that was asked for and has nothing is NOT SENT", () => {
    expect(named().subscription.status.state).toBe("NOT SENT");
  });
});

describe("state of the world alone", () => {
  const client = (): Subscription<Thing> => new Subscription<Thing>("sotw", true);

  test("X-17: a stale nonce is not answered and changes no subscription", () => {
    const subscription = new Subscription<Thing>("sotw", false);
    subscription.accept(sotw({ names: ["a"] }));
    subscription.committed({ resources: [{ name: "a", version: "1" }], removed: [] }, "n1", "v1");
    expect(subscription.accept(sotw({ names: ["a", "b"], nonce: "n0" }))).toEqual({ kind: "stale", nonce: "n0" });
    expect(subscription.names).toEqual(new Set(["a"]));
    expect(subscription.next(world({ a: "1", b: "1" }))).toBeUndefined();
  });

  test("X-18: an empty nonce on an open stream is a first request: everything is sent", () => {
    const subscription = client();
    subscription.accept(sotw({}));
    const first = subscription.next(world({ a: "1" }));
    expect(first?.resources).toHaveLength(1);
    subscription.committed(first ?? { resources: [], removed: [] }, "n1", "v1");
    subscription.accept(sotw({ nonce: "n1", version: "v1" }));
    subscription.accept(sotw({}));
    expect(subscription.next(world({ a: "1" }))?.resources).toHaveLength(1);
  });

  test("X-27: a whole type is sent whole, whatever of it changed", () => {
    const subscription = client();
    subscription.accept(sotw({}));
    subscription.committed({ resources: [...world({ a: "1", b: "1" }).values()], removed: [] }, "n1", "v1");
    subscription.accept(sotw({ nonce: "n1" }));
    expect(subscription.next(world({ a: "1", b: "2" }))?.resources.map(({ name }) => name)).toEqual(["a", "b"]);
  });

  test("X-28: of named types only what changed is sent, and absence says nothing", () => {
    const subscription = new Subscription<Thing>("sotw", false);
    subscription.accept(sotw({ names: ["a", "b"] }));
    subscription.committed({ resources: [...world({ a: "1", b: "1" }).values()], removed: [] }, "n1", "v1");
    subscription.accept(sotw({ names: ["a", "b"], nonce: "n1" }));
    expect(subscription.next(world({ a: "1" }))).toBeUndefined();
    expect(subscription.next(world({ a: "2" }))?.resources.map(({ name }) => name)).toEqual(["a"]);
  });

  test("a nonce of an earlier stream on the first request counts as none", () => {
    const subscription = client();
    expect(subscription.accept(sotw({ nonce: "before" }))).toEqual({ kind: "none" });
    expect(subscription.next(world({ a: "1" }))?.resources).toHaveLength(1);
  });
});

describe("delta alone", () => {
  test("X-35: versions that the client brings along: only differences are sent, what is gone is removed", () => {
    const subscription = new Subscription<Thing>("delta", true);
    subscription.accept(delta({ initialVersions: { same: "1", changed: "1", gone: "1" } }));
    const update = subscription.next(world({ same: "1", changed: "2", fresh: "1" }));
    expect(update?.resources.map(({ name }) => name)).toEqual(["changed", "fresh"]);
    expect(update?.removed).toEqual(["gone"]);
  });

  test("X-35: with everything as it was nothing is sent, and the proxy counts as synced", () => {
    const subscription = new Subscription<Thing>("delta", true);
    subscription.accept(delta({ initialVersions: { a: "1" } }));
    expect(subscription.next(world({ a: "1" }))).toBeUndefined();
    expect(subscription.status.state).toBe("SYNCED");
  });

  test("X-33, X-35: the same for names", () => {
    const subscription = new Subscription<Thing>("delta", false);
    subscription.accept(delta({ subscribe: ["a", "b", "c"], initialVersions: { a: "1", b: "1" } }));
    const update = subscription.next(world({ a: "1" }));
    expect(update).toEqual({ resources: [], removed: ["b", "c"] });
  });

  test("X-36: one request may acknowledge and subscribe", () => {
    const subscription = new Subscription<Thing>("delta", false);
    subscription.accept(delta({ subscribe: ["a"] }));
    subscription.committed({ resources: [{ name: "a", version: "1" }], removed: [] }, "n1", "v1");
    expect(subscription.accept(delta({ nonce: "n1", subscribe: ["b"] })).kind).toBe("ack");
    expect(subscription.next(world({ a: "1", b: "1" }))?.resources.map(({ name }) => name)).toEqual(["b"]);
  });

  test("X-37: subscriptions count even under a nonce that is not known", () => {
    const subscription = new Subscription<Thing>("delta", false);
    expect(subscription.accept(delta({ nonce: "old", subscribe: ["a"] })).kind).toBe("stale");
    expect(subscription.next(world({ a: "1" }))?.resources).toHaveLength(1);
  });

  test("X-38: a name subscribed once more is sent once more", () => {
    const subscription = new Subscription<Thing>("delta", false);
    subscription.accept(delta({ subscribe: ["a"] }));
    subscription.committed({ resources: [{ name: "a", version: "1" }], removed: [] }, "n1", "v1");
    subscription.accept(delta({ nonce: "n1" }));
    subscription.accept(delta({ subscribe: ["a"] }));
    expect(subscription.next(world({ a: "1" }))?.resources).toHaveLength(1);
  });

  test("X-39: unsubscribing an unknown name does nothing", () => {
    const subscription = new Subscription<Thing>("delta", false);
    subscription.accept(delta({ subscribe: ["a"] }));
    subscription.committed({ resources: [{ name: "a", version: "1" }], removed: [] }, "n1", "v1");
    subscription.accept(delta({ unsubscribe: ["stranger"] }));
    expect(subscription.next(world({ a: "1" }))).toBeUndefined();
  });

  test("X-41: under the wildcard, an unsubscribed name is sent, or said to be gone", () => {
    const subscription = new Subscription<Thing>("delta", true);
    subscription.accept(delta({ subscribe: ["*", "a", "b"] }));
    const first = subscription.next(world({ a: "1" }));
    subscription.committed(first ?? { resources: [], removed: [] }, "n1", "v1");
    subscription.accept(delta({ nonce: "n1", unsubscribe: ["a", "b"] }));
    expect(subscription.next(world({ a: "1" }))).toEqual({ resources: [{ name: "a", version: "1" }], removed: ["b"] });
  });

  test("X-42: no name is in a response twice", () => {
    const subscription = new Subscription<Thing>("delta", true);
    subscription.accept(delta({ subscribe: ["*", "a", "a"], initialVersions: { a: "0", b: "0" } }));
    const update = subscription.next(world({ a: "1" }));
    const names = [...(update?.resources.map(({ name }) => name) ?? []), ...(update?.removed ?? [])];
    expect(names.sort()).toEqual(["a", "b"]);
  });

  test("X-43: after a reconnect the client's own word counts, whatever was refused before", () => {
    const subscription = new Subscription<Thing>("delta", true);
    subscription.accept(delta({ initialVersions: { a: "good" } }));
    expect(subscription.next(world({ a: "bad" }))?.resources).toHaveLength(1);
  });

  test("X-45: a removed resource stays subscribed", () => {
    const subscription = new Subscription<Thing>("delta", false);
    subscription.accept(delta({ subscribe: ["a"] }));
    subscription.committed({ resources: [{ name: "a", version: "1" }], removed: [] }, "n1", "v1");
    subscription.accept(delta({ nonce: "n1" }));
    expect(subscription.next(world({}))?.removed).toEqual(["a"]);
    subscription.committed({ resources: [], removed: ["a"] }, "n2", "v2");
    subscription.accept(delta({ nonce: "n2" }));
    expect(subscription.next(world({ a: "1" }))?.resources).toHaveLength(1);
  });
});
