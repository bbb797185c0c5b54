/** xDS from a file (`path_config_source`): a DiscoveryResponse in YAML or JSON that is watched. */
import { readFileSync } from "node:fs";
import { createMessage } from "#protos/registry.ts";
import type { DiscoveryRequest, DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { formatProblem, type Problem } from "#lib/problem.ts";
import type { Logger, Runtime, Timer } from "#lib/runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import { parseEnvoyYaml } from "../bootstrap/envoy-yaml.ts";
import { watchFiles } from "../tls/secret-providers.ts";
import { receivedFromAny } from "./decode-resource.ts";
import { nackMessage } from "./nack-message.ts";
import type { TypeProtocol, ReceivedUpdate } from "./type-protocol.ts";
import { TypeState } from "./type-state.ts";
import type { ResourceWatcher, WildcardHandler, XdsClient, XdsSubscription } from "./types.ts";

export interface FileClientOptions {
  readonly runtime: Runtime;
  readonly path: string;
}

/** One client a file. There is nobody to acknowledge to: what is refused is counted and logged, the old stays in force. */
export function createFileClient(options: FileClientOptions): XdsClient {
  return new FileClient(options);
}

class FileClient implements XdsClient {
  readonly #path: string;
  readonly #runtime: Runtime;
  readonly #log: Logger;
  readonly #types = new Map<string, TypeState>();
  readonly #watch: { close(): void };
  #due: Timer | undefined;

  constructor({ runtime, path }: FileClientOptions) {
    this.#path = path;
    this.#runtime = runtime;
    this.#log = runtime.log.child("config");
    this.#watch = watchFiles(runtime, [path], () => this.#read());
  }

  wildcard(typeUrl: string, handler: WildcardHandler, initialFetchTimeoutMs: number): XdsSubscription {
    return this.#subscription(this.#type(typeUrl).setWildcard(handler, initialFetchTimeoutMs));
  }

  resource(typeUrl: string, name: string, watcher: ResourceWatcher, initialFetchTimeoutMs: number): XdsSubscription {
    return this.#subscription(this.#type(typeUrl).watch(name, watcher, initialFetchTimeoutMs));
  }

  /** There are no requests to hold back. */
  pause(): void {}
  resume(): void {}

  close(): void {
    this.#watch.close();
    this.#due?.cancel();
    for (const type of this.#types.values()) type.close();
  }

  #type(typeUrl: string): TypeState {
    let type = this.#types.get(typeUrl);
    if (type === undefined) {
      type = new TypeState(typeUrl, new FileProtocol(typeUrl), this.#runtime.clock);
      this.#types.set(typeUrl, type);
    }
    return type;
  }

  #subscription(close: () => void): XdsSubscription {
    this.#due ??= this.#runtime.clock.setTimer(0, () => {
      this.#due = undefined;
      this.#read();
    });
    return { close };
  }

  #read(): void {
    const problems: Problem[] = [];
    const response = this.#parse(problems);
    if (response === undefined) {
      this.#log.warning("the file of resources can't be read; what was there stays in force", {
        path: this.#path,
        error: problems.map((problem) => formatProblem(problem)).join("; "),
      });
      for (const type of this.#types.values()) type.countConnectionFailure();
      return;
    }
    for (const type of this.#types.values()) {
      const rejected = type.isEmpty ? [] : type.apply(type.protocol.read(response));
      if (rejected.length === 0) continue;
      this.#log.warning("refused", { path: this.#path, error: nackMessage(type.typeUrl, rejected) });
    }
  }

  #parse(problems: Problem[]): DiscoveryResponse | undefined {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      problems.push({ code: "file-unreadable", level: "error", path: "", message });
      return undefined;
    }
    const yaml = parseEnvoyYaml(text, this.#path);
    problems.push(...yaml.problems);
    if (yaml.value === undefined) return undefined;
    const message = messageFromJson("envoy.service.discovery.v3.DiscoveryResponse", yaml.value.json);
    problems.push(...message.problems);
    return message.value as DiscoveryResponse | undefined;
  }
}

/** Only reads: a file is the state of the world. */
class FileProtocol implements TypeProtocol {
  readonly asksAnew = true;
  readonly #typeUrl: string;

  constructor(typeUrl: string) {
    this.#typeUrl = typeUrl;
  }

  restart(): void {}
  subscribed(): void {}
  unsubscribed(): void {}
  settle(): void {}

  hasRequest(): boolean {
    return false;
  }

  takeRequest(): DiscoveryRequest {
    return createMessage<DiscoveryRequest>("envoy.service.discovery.v3.DiscoveryRequest");
  }

  read(response: DiscoveryResponse): ReceivedUpdate {
    const { versionInfo, resources } = response;
    return {
      version: versionInfo,
      nonce: "",
      resources: resources.map((resource) => receivedFromAny(resource, this.#typeUrl, versionInfo)),
      removed: [],
      isWhole: true,
      errors: [],
    };
  }
}
