/** Extension configurations over ADS: each name is subscribed to once, however many filters use it. */
import type { Problem } from "#lib/problem.ts";
import type { Clock, Logger } from "#lib/runtime.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import {
  openExtension,
  type ExtensionConfigProvider,
  type ExtensionDiscovery,
  type ExtensionSubscriber,
} from "../extension-configs.ts";
import type { Counter, StatsScope } from "../observability/stats.ts";
import { createSubscriptionStats } from "../xds/subscription-stats.ts";
import { TypeUrl, type ResourceWatcher, type XdsClient } from "../xds/types.ts";
import type { ConfigRecords } from "./config-records.ts";

export interface ExtensionProviderDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined: there is no management server; defaults are in force. */
  readonly xds: XdsClient | undefined;
  readonly records: ConfigRecords;
  readonly scope: StatsScope;
}

/** The provider of one proxy. */
export function createExtensionConfigProvider(deps: ExtensionProviderDeps): ExtensionConfigProvider {
  return { subscribe: (discovery, subscriber) => new Subscription(deps, discovery, subscriber) };
}

class Subscription {
  readonly #deps: ExtensionProviderDeps;
  readonly #discovery: ExtensionDiscovery;
  readonly #subscriber: ExtensionSubscriber;
  readonly #subscription: { close(): void } | undefined;
  readonly #stats: Readonly<Record<"reload" | "fail" | "conflict", Counter>>;
  #hasConfig = false;

  constructor(deps: ExtensionProviderDeps, discovery: ExtensionDiscovery, subscriber: ExtensionSubscriber) {
    this.#deps = deps;
    this.#discovery = discovery;
    this.#subscriber = subscriber;
    const scope = deps.scope.scope("extension_config_discovery").scope(subscriber.kind).scope(discovery.name);
    this.#stats = {
      reload: scope.counter("config_reload"),
      fail: scope.counter("config_fail"),
      conflict: scope.counter("config_conflict"),
    };
    if (discovery.appliesDefaultWithoutWarming) this.#fallBack();
    if (deps.xds === undefined) {
      deps.log.error(`extension configuration ${discovery.name} can't be fetched: the bootstrap has no ads_config`);
      this.#fallBack();
    }
    const watcher = this.#watcher(scope);
    this.#subscription = deps.xds?.resource(
      TypeUrl.extensionConfig,
      discovery.name,
      watcher,
      discovery.initialFetchTimeoutMs,
    );
  }

  close(): void {
    this.#subscription?.close();
  }

  #watcher(scope: StatsScope): ResourceWatcher {
    const { records, log } = this.#deps;
    const { name } = this.#discovery;
    return {
      stats: createSubscriptionStats(scope),
      onResource: ({ message, version }) => {
        const problems = this.#apply(message as TypedExtensionConfig);
        if (problems.length > 0) {
          this.#stats.fail.inc();
          records.refuse(name, message, version, problems);
          if (!this.#hasConfig) this.#fallBack();
        } else {
          this.#hasConfig = true;
          this.#stats.reload.inc();
          records.accept(name, message, version);
        }
        return problems;
      },
      onAbsent: (reason) => {
        if (reason === "timeout" && this.#hasConfig) return;
        if (reason === "timeout") log.warning(`no extension configuration ${name} within initial_fetch_timeout`);
        else {
          records.remove(name);
          this.#stats.reload.inc();
        }
        this.#hasConfig = false;
        this.#fallBack();
      },
      onRejected: () => {
        this.#stats.fail.inc();
        if (!this.#hasConfig) this.#fallBack();
      },
    };
  }

  #apply({ name, typedConfig }: TypedExtensionConfig): readonly Problem[] {
    const opened = openExtension(typedConfig, this.#discovery, "typed_config");
    if (isProblems(opened)) return opened;
    return this.#subscriber.onConfig(opened).map((problem) => ({ ...problem, object: `extension ${name}` }));
  }

  /** The default, or none: the filter fails then, and nothing waits for it any longer. */
  #fallBack(): void {
    const { defaultConfig } = this.#discovery;
    const opened = defaultConfig && openExtension(defaultConfig, this.#discovery, "default_config");
    this.#subscriber.onConfig(opened === undefined || isProblems(opened) ? undefined : opened);
  }
}

function isProblems(opened: ReturnType<typeof openExtension>): opened is readonly Problem[] {
  return Array.isArray(opened);
}
