/** The listeners of a proxy: added, updated, removed and drained while connections go on (X-60 … X-65). */
import type { Message } from "@bufbuild/protobuf";
import { formatAddress, type SocketAddress } from "#lib/connection.ts";
import { hasOriginalDestination } from "#lib/node-original-destination.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { ListenError } from "#lib/runtime.ts";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import { PlainCount, SharedCount, type Count } from "../count.ts";
import type { ActiveFilterChain } from "./active-filter-chain.ts";
import { ActiveListener, type ListenerNeighbours } from "./active-listener.ts";
import { differsOnlyInChains, isSame, isSameChain } from "./compare.ts";
import { Draining } from "./draining.ts";
import { ListenerSockets } from "./listener-sockets.ts";
import { listenerManagerStats } from "./listener-stats.ts";
import type { FilterChainModel, ListenerModel } from "./model.ts";
import { parseListener } from "./parse-listener.ts";
import type { DrainOptions, ListenerErrorView, ListenerManager, ListenerManagerDeps, ListenerView } from "./types.ts";

interface Slot {
  active: ActiveListener | undefined;
  warming: ActiveListener | undefined;
  /** Open connections of all versions. */
  readonly open: Count;
}

/** Makes the manager of one proxy. Nothing is opened before `start`. */
export function createListenerManager(deps: ListenerManagerDeps): ListenerManager {
  return new Manager(deps);
}

class Manager implements ListenerManager, ListenerNeighbours {
  readonly #deps: ListenerManagerDeps;
  readonly #stats;
  readonly #sockets: ListenerSockets;
  readonly #draining: Draining;
  /** How internal listeners are closed. */
  readonly #internal = new Map<ActiveListener, () => void>();
  readonly #slots = new Map<string, Slot>();
  readonly #errors = new Map<string, ListenerErrorView>();
  readonly #opening = new Set<Promise<Problem | undefined>>();
  readonly #waiting: (() => void)[] = [];
  #isStarted = false;
  #isShutDown = false;
  readonly #connections: Count;

  constructor(deps: ListenerManagerDeps) {
    this.#deps = deps;
    this.#connections = this.#count("connections of all listeners");
    this.#stats = listenerManagerStats(deps.scope);
    this.#sockets = new ListenerSockets(deps.runtime);
    this.#draining = new Draining(deps, this.#stats);
  }

  addOrUpdate(message: Message, version: string, { dynamic }: { readonly dynamic: boolean }): Parsed<void> {
    const listener = message as Listener;
    const name = listener.name === "" ? this.#deps.runtime.random.uuid() : listener.name;
    const slot = this.#slots.get(name) ?? {
      active: undefined,
      warming: undefined,
      open: this.#count(`listener ${name}`),
    };
    const existing = slot.warming ?? slot.active;
    if (existing !== undefined && !existing.isDynamic && dynamic)
      return warn(`listener '${name}' is static: it cannot be updated by LDS`);
    if (existing !== undefined && isSame(existing.message, listener)) {
      this.#errors.delete(name);
      return { problems: [] };
    }
    const parsed = parseListener(listener, {
      filters: this.#deps.filters,
      hasInternalListeners: this.#deps.internal !== undefined,
      hasOriginalDestination: this.#deps.originalDestination !== undefined || hasOriginalDestination(),
    });
    const problems = [...parsed.problems];
    if (parsed.value !== undefined) problems.push(...this.#duplicates(name, parsed.value));
    const model = parsed.value === undefined ? undefined : { ...parsed.value, name };
    const opened =
      model === undefined || hasErrors(problems) ? undefined : this.#open(model, listener, version, dynamic, slot);
    if (opened !== undefined) problems.push(...opened.problems);
    if (opened?.value !== undefined && dynamic && this.#isStarted && !this.#isShutDown) {
      const taken = this.#addressProblems(name, opened.value);
      if (taken.length > 0) {
        problems.push(...taken);
        this.#discard(opened.value, slot.active);
        this.#stats.createFailure.inc();
        return this.#refuse(name, listener, version, problems);
      }
    }
    if (opened?.value === undefined) {
      return this.#refuse(name, listener, version, problems);
    }
    this.#errors.delete(name);
    this.#install(name, slot, opened.value);
    return { problems };
  }

  #refuse(name: string, message: Listener, version: string, problems: readonly Problem[]): Parsed<void> {
    const object = `listener ${name}`;
    const named = problems.map((problem) => ({ ...problem, object }));
    this.#errors.set(name, { message, version, updatedMs: this.#deps.runtime.clock.now(), problems: named });
    return { problems: named };
  }

  /** Asked while there is still somebody to refuse: the sockets themselves are opened later. */
  #addressProblems(name: string, listener: ActiveListener): Problem[] {
    const { model } = listener;
    if (!model.bindToPort || model.isInternal) return [];
    return model.addresses.flatMap((address, index) => {
      const refused = this.#sockets.problem(listener, index, address, model);
      if (refused === undefined) return [];
      const message = `error adding listener '${name}': ${refused.message}`;
      return [{ code: "address-unavailable", level: "error" as const, path: "address", message }];
    });
  }

  remove(name: string): boolean {
    this.#errors.delete(name);
    const slot = this.#slots.get(name);
    const existing = slot?.active ?? slot?.warming;
    if (slot === undefined || existing === undefined || !existing.isDynamic) return false;
    this.#slots.delete(name);
    if (slot.warming !== undefined) this.#discard(slot.warming, slot.active);
    if (slot.active !== undefined) this.#retire(slot.active, undefined);
    this.#stats.removed.inc();
    this.#updateGauges();
    return true;
  }

  async start(): Promise<readonly Problem[]> {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#stats.workersStarted.set(1);
      for (const { active } of this.#slots.values()) if (active !== undefined) this.#bind(active);
    }
    const results = await Promise.all(this.#opening);
    return results.filter((problem) => problem !== undefined);
  }

  async drain(options: DrainOptions = {}): Promise<void> {
    const { stopsListening = true, inboundOnly = false, strategy = "immediate", endsConnections = true } = options;
    const chosen = [...this.#slots.values()]
      .map(({ active }) => active)
      .filter((active) => active !== undefined)
      .filter((active) => !inboundOnly || active.model.trafficDirection === "inbound");
    if (stopsListening && !inboundOnly) this.#isShutDown = true;
    for (const listener of chosen) if (stopsListening) this.#unbind(listener);
    await this.#draining.finish(chosen, strategy, endsConnections);
  }

  close(): void {
    this.#isShutDown = true;
    for (const { active, warming } of this.#slots.values())
      for (const listener of [active, warming]) {
        if (listener === undefined) continue;
        this.#unbind(listener);
        this.#draining.endNow(listener);
      }
    this.#slots.clear();
    this.#draining.close();
    this.#updateGauges();
  }

  listeners(): readonly ListenerView[] {
    const views: ListenerView[] = [];
    for (const { active, warming } of this.#slots.values()) {
      if (active !== undefined) views.push(this.#view(active, "active"));
      if (warming !== undefined) views.push(this.#view(warming, "warming"));
    }
    for (const listener of this.#draining.listeners) views.push(this.#view(listener, "draining"));
    return views;
  }

  errors(): ReadonlyMap<string, ListenerErrorView> {
    return this.#errors;
  }

  onceReady(callback: () => void): void {
    if (this.#isWarming) this.#waiting.push(callback);
    else callback();
  }

  // What a listener asks of the others.

  forDestination(address: SocketAddress): ActiveListener | undefined {
    if (address.kind !== "ip") return undefined;
    const wanted = formatAddress(address);
    const wildcard = formatAddress({ ...address, address: address.address.includes(":") ? "::" : "0.0.0.0" });
    let fallback: ActiveListener | undefined;
    for (const { active } of this.#slots.values())
      for (const listen of active?.model.addresses ?? []) {
        const own = formatAddress(listen.address);
        if (own === wanted) return active;
        if (own === wildcard) fallback = active;
      }
    return fallback;
  }

  admit(): boolean {
    const { globalConnectionLimit } = this.#deps;
    if (globalConnectionLimit !== undefined && this.#connections.value >= globalConnectionLimit) return false;
    this.#connections.add(1);
    return true;
  }

  leave(): void {
    this.#connections.add(-1);
  }

  #count(name: string): Count {
    const { sharedCells } = this.#deps;
    return sharedCells === undefined ? new PlainCount() : new SharedCount(sharedCells.of(name));
  }

  // Versions.

  #open(
    model: ListenerModel,
    message: Listener,
    version: string,
    isDynamic: boolean,
    slot: Slot,
  ): Parsed<ActiveListener> {
    const { active, open } = slot;
    const isInPlace = active !== undefined && this.#isStarted && differsOnlyInChains(active.message, message);
    const free = isInPlace ? [...active.chains] : [];
    const reuse = (chain: FilterChainModel): ActiveFilterChain | undefined => {
      const index = free.findIndex((candidate) => isSameChain(candidate.model.message, chain.message));
      return index < 0 ? undefined : free.splice(index, 1)[0];
    };
    return ActiveListener.open({ model, message, version, isDynamic, open, deps: this.#deps, neighbours: this }, reuse);
  }

  #install(name: string, slot: Slot, listener: ActiveListener): void {
    this.#slots.set(name, slot);
    (slot.active !== undefined || slot.warming !== undefined ? this.#stats.modified : this.#stats.added).inc();
    if (slot.warming !== undefined) this.#discard(slot.warming, slot.active);
    slot.warming = listener;
    this.#updateGauges();
    listener.onReady(() => {
      if (slot.warming === listener) this.#activate(slot, listener);
    });
  }

  #activate(slot: Slot, listener: ActiveListener): void {
    const old = slot.active;
    slot.warming = undefined;
    slot.active = listener;
    if (this.#isStarted && !this.#isShutDown) this.#bind(listener);
    if (old !== undefined) this.#retire(old, listener);
    this.#updateGauges();
    if (!this.#isWarming) for (const callback of this.#waiting.splice(0)) callback();
  }

  /** A warming version that is never used. */
  #discard(warming: ActiveListener, active: ActiveListener | undefined): void {
    for (const chain of warming.chains) if (active === undefined || !active.chains.includes(chain)) chain.close();
    warming.stats.scope.dispose();
  }

  /** Takes a version out of service; chains that its successor has kept go on. */
  #retire(old: ActiveListener, successor: ActiveListener | undefined): void {
    this.#unbind(old);
    const isInPlace = successor !== undefined && successor.chains.some((chain) => old.chains.includes(chain));
    if (isInPlace || (successor !== undefined && differsOnlyInChains(old.message, successor.message))) {
      this.#stats.inPlaceUpdated.inc();
      this.#draining.retireChains(old.chains.filter((chain) => !successor.chains.includes(chain)));
      old.stats.scope.dispose();
    } else this.#draining.retireListener(old);
  }

  // Sockets.

  #bind(listener: ActiveListener): void {
    const { model } = listener;
    if (model.isInternal) {
      this.#bindInternal(listener);
      return;
    }
    if (!model.bindToPort) return;
    for (const [index, address] of model.addresses.entries()) {
      const opening = this.#sockets.take(listener, index, address, model).then(
        () => {
          this.#stats.createSuccess.inc();
          return undefined;
        },
        (error: unknown) => this.#onBindFailure(listener, error),
      );
      this.#opening.add(opening);
      void opening.then(() => this.#opening.delete(opening));
    }
  }

  #onBindFailure(listener: ActiveListener, error: unknown): Problem {
    const { name } = listener.model;
    const message = `error adding listener: ${error instanceof ListenError ? error.message : String(error)}`;
    const problem: Problem = {
      code: "address-unavailable",
      level: "error",
      path: "address",
      object: `listener ${name}`,
      message,
    };
    this.#stats.createFailure.inc();
    this.#deps.runtime.log.child("config").error(`listener '${name}' failed to listen: ${message}`);
    this.#errors.set(name, {
      message: listener.message,
      version: listener.version,
      updatedMs: this.#deps.runtime.clock.now(),
      problems: [problem],
    });
    return problem;
  }

  #bindInternal(listener: ActiveListener): void {
    const leave = this.#deps.internal?.listen(listener.model.name, (raw, passthrough) =>
      listener.accept(raw, passthrough),
    );
    if (leave === undefined) return;
    this.#internal.set(listener, leave);
    this.#stats.createSuccess.inc();
  }

  #unbind(listener: ActiveListener): void {
    this.#internal.get(listener)?.();
    this.#internal.delete(listener);
    for (const [index, address] of listener.model.addresses.entries()) this.#sockets.release(listener, index, address);
  }

  /** */
  #duplicates(name: string, model: ListenerModel): Problem[] {
    const taken = new Map<string, string>();
    for (const [other, { active, warming }] of this.#slots) {
      if (other === name) continue;
      for (const listener of [active, warming])
        for (const { address } of listener?.model.addresses ?? []) taken.set(formatAddress(address), other);
    }
    const problems: Problem[] = [];
    for (const { address } of model.addresses) {
      const text = formatAddress(address);
      const other = taken.get(text);
      if (other === undefined || (address.kind === "ip" && address.port === 0)) continue;
      problems.push({
        code: "invalid-value",
        level: "error",
        path: "address",
        message: `error adding listener: '${name}' has duplicate address '${text}' as existing listener '${other}'; give it another address`,
      });
    }
    return problems;
  }

  // For people.

  get #isWarming(): boolean {
    for (const { warming } of this.#slots.values()) if (warming !== undefined) return true;
    return false;
  }

  #view(listener: ActiveListener, state: ListenerView["state"]): ListenerView {
    const { model, message, version, isDynamic, updatedMs } = listener;
    const addresses = model.addresses.map((address, index) => this.#sockets.boundAddress(listener, index, address));
    return {
      name: model.name,
      isDynamic,
      version,
      updatedMs,
      message,
      state,
      addresses,
      trafficDirection: model.trafficDirection,
    };
  }

  #updateGauges(): void {
    let active = 0;
    let warming = 0;
    for (const slot of this.#slots.values()) {
      if (slot.active !== undefined) active++;
      if (slot.warming !== undefined) warming++;
    }
    this.#stats.active.set(active);
    this.#stats.warming.set(warming);
  }
}

function warn(message: string): Parsed<void> {
  return { problems: [{ code: "static-listener", level: "warning", path: "", message }] };
}

function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some(({ level }) => level === "error");
}
