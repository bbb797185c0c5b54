/** What a small management server does with requests: for tests, over any transport. */
import { toBinary, type Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { createMessage, descOf } from "#protos/registry.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { typeUrlOf } from "#protos/type-url.ts";
import { resourceName } from "../decode-resource.ts";

export interface ServedStream {
  write(response: DiscoveryResponse | DeltaDiscoveryResponse): void;
  /** Ends the stream from the server's side. */
  end(): void;
}

/** Told by the transport. */
export interface StreamHandlers {
  readonly onRequest: (request: DiscoveryRequest | DeltaDiscoveryRequest) => void;
  readonly onEnd: () => void;
}

type Request = DiscoveryRequest | DeltaDiscoveryRequest;

interface Versioned {
  readonly version: string;
  readonly resource: Any;
}

/** What one stream was told of one type. */
interface TypeOnStream {
  isWildcard: boolean;
  readonly names: Set<string>;
  readonly sent: Map<string, string>;
}

/** Serves any number of streams from one set of resources. Knows nothing of gRPC. */
export class ServerCore {
  readonly requests: Request[] = [];
  readonly #resources = new Map<string, Map<string, Versioned>>();
  readonly #streams = new Map<ServedStream, { readonly isDelta: boolean; readonly types: Map<string, TypeOnStream> }>();
  readonly #waiting = new Set<(request: Request) => void>();
  #version = 0;

  /** A stream opens; requests on it go to what is returned. */
  onStream(stream: ServedStream, isDelta: boolean): StreamHandlers {
    const types = new Map<string, TypeOnStream>();
    this.#streams.set(stream, { isDelta, types });
    return {
      onRequest: (request) => {
        this.requests.push(request);
        for (const hear of this.#waiting) hear(request);
        if (isDelta) this.#onDelta(stream, types, request as DeltaDiscoveryRequest);
        else this.#onSotw(stream, types, request as DiscoveryRequest);
      },
      onEnd: () => void this.#streams.delete(stream),
    };
  }

  set(typeUrl: string, resources: readonly Message[]): void {
    this.#version++;
    const before = this.#resources.get(typeUrl);
    const now = new Map<string, Versioned>();
    for (const message of resources) {
      const value = toBinary(descOf(message), message);
      const name = resourceName(message);
      const old = before?.get(name);
      const isSame = old !== undefined && Buffer.compare(old.resource.value, value) === 0;
      const resource = createMessage<Any>("google.protobuf.Any", { typeUrl: typeUrlOf(message.$typeName), value });
      now.set(name, isSame ? old : { version: String(this.#version), resource });
    }
    this.#resources.set(typeUrl, now);
    for (const [stream, { isDelta, types }] of this.#streams) {
      const type = types.get(typeUrl);
      if (type === undefined) continue;
      if (isDelta) this.#sendDelta(stream, typeUrl, type, new Set());
      else this.#sendSotw(stream, typeUrl, type);
    }
  }

  request(fits: (request: Request) => boolean): Promise<Request> {
    const past = this.requests.find(fits);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve) => {
      const hear = (request: Request): void => {
        if (!fits(request)) return;
        this.#waiting.delete(hear);
        resolve(request);
      };
      this.#waiting.add(hear);
    });
  }

  endStreams(): void {
    for (const stream of this.#streams.keys()) stream.end();
    this.#streams.clear();
  }

  #onDelta(stream: ServedStream, types: Map<string, TypeOnStream>, request: DeltaDiscoveryRequest): void {
    const { typeUrl, resourceNamesSubscribe: added, resourceNamesUnsubscribe: dropped } = request;
    let type = types.get(typeUrl);
    const isFirst = type === undefined;
    if (type === undefined) {
      type = {
        isWildcard: added.length === 0,
        names: new Set(),
        sent: new Map(Object.entries(request.initialResourceVersions)),
      };
      types.set(typeUrl, type);
    }
    for (const name of dropped) {
      type.names.delete(name);
      type.sent.delete(name);
    }
    for (const name of added) {
      if (name === "*") type.isWildcard = true;
      else type.names.add(name);
    }
    if (isFirst || added.length > 0) this.#sendDelta(stream, typeUrl, type, new Set(isFirst ? [] : added), isFirst);
  }

  #sendDelta(
    stream: ServedStream,
    typeUrl: string,
    type: TypeOnStream,
    asked: ReadonlySet<string>,
    always = false,
  ): void {
    const all = this.#resources.get(typeUrl) ?? new Map<string, Versioned>();
    const wanted = type.isWildcard ? new Set([...all.keys(), ...type.names]) : type.names;
    const changed = [...wanted].filter((name) => {
      const found = all.get(name);
      return found !== undefined && (asked.has(name) || type.sent.get(name) !== found.version);
    });
    const known = new Set([...type.sent.keys(), ...asked]);
    const removed = [...known].filter((name) => name !== "*" && !all.has(name));
    if (changed.length === 0 && removed.length === 0 && !always) return;
    for (const name of removed) type.sent.delete(name);
    const resources = changed.map((name) => {
      const { version, resource } = all.get(name) as Versioned;
      type.sent.set(name, version);
      return { name, version, resource };
    });
    stream.write(
      createMessage<DeltaDiscoveryResponse>("envoy.service.discovery.v3.DeltaDiscoveryResponse", {
        typeUrl,
        nonce: `n${++this.#version}`,
        systemVersionInfo: String(this.#version),
        resources,
        removedResources: removed,
        controlPlane: { identifier: "test-ads-server" },
      }),
    );
  }

  #onSotw(stream: ServedStream, types: Map<string, TypeOnStream>, request: DiscoveryRequest): void {
    const { typeUrl, resourceNames } = request;
    let type = types.get(typeUrl);
    const isFirst = type === undefined;
    if (type === undefined) {
      type = { isWildcard: false, names: new Set(), sent: new Map() };
      types.set(typeUrl, type);
    }
    const names = resourceNames.filter((name) => name !== "*");
    const isNew = isFirst || names.some((name) => !type.names.has(name));
    type.isWildcard = resourceNames.includes("*") || (resourceNames.length === 0 && (isFirst || type.isWildcard));
    type.names.clear();
    for (const name of names) type.names.add(name);
    if (isNew) this.#sendSotw(stream, typeUrl, type);
  }

  #sendSotw(stream: ServedStream, typeUrl: string, type: TypeOnStream): void {
    const all = this.#resources.get(typeUrl) ?? new Map<string, Versioned>();
    const wanted = [...all].filter(([name]) => type.isWildcard || type.names.has(name));
    stream.write(
      createMessage<DiscoveryResponse>("envoy.service.discovery.v3.DiscoveryResponse", {
        typeUrl,
        nonce: `n${++this.#version}`,
        versionInfo: String(this.#version),
        resources: wanted.map(([, { resource }]) => resource),
        controlPlane: { identifier: "test-ads-server" },
      }),
    );
  }
}
