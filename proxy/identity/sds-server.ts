/**
 * Shell: the Secret Discovery Service over a Unix socket, as Istio's agent serves it to the Envoy beside it. Answers
 * from a SecretProvider; each rotation is pushed.
 */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  type handleBidiStreamingCall,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from "@grpc/grpc-js";
import { MeshError } from "#lib/problem.ts";
import type { Logger } from "#lib/runtime.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { createMessage, schema } from "#protos/registry.ts";
import type { SecretProvider } from "#proxy/tls/types.ts";
import { typeMethod } from "#proxy/xds/methods.ts";
import { TypeUrl } from "#proxy/xds/types.ts";
import { encodeSecret, type SecretResponse, SecretSubscription } from "./sds-subscription.ts";

export interface SdsServerOptions {
  readonly socketPath: string;
  readonly secrets: SecretProvider & { serves(name: string): boolean };
  readonly log: Logger;
}

export interface SdsServer {
  readonly socketPath: string;
  close(): void;
}

const DISCOVERY = "envoy.service.discovery.v3";

/** Listens. The socket hands out private keys: only its owner may connect. Throws `sds-socket-unusable`. */
export async function createSdsServer({ socketPath, secrets, log }: SdsServerOptions): Promise<SdsServer> {
  makeWay(socketPath);
  const server = new Server();
  server.addService(
    {
      streamSecrets: bidiMethod<DiscoveryRequest, DiscoveryResponse>(
        "sotw",
        `${DISCOVERY}.DiscoveryRequest`,
        `${DISCOVERY}.DiscoveryResponse`,
      ),
      deltaSecrets: bidiMethod<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(
        "delta",
        `${DISCOVERY}.DeltaDiscoveryRequest`,
        `${DISCOVERY}.DeltaDiscoveryResponse`,
      ),
    },
    { streamSecrets: sotwHandler(secrets, log), deltaSecrets: deltaHandler(secrets, log) },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(new MeshError("sds-socket-unusable", `Nothing can listen on ${socketPath}: ${error.message}.`));
    });
  });
  chmodSync(socketPath, 0o600);
  return { socketPath, close: () => server.forceShutdown() };
}

/** The directory is there, and a socket that a dead process left is not. */
function makeWay(socketPath: string): void {
  try {
    mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
    const found = lstatSync(socketPath, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isSocket()) throw new Error("there is something else of that name");
    unlinkSync(socketPath);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MeshError("sds-socket-unusable", `No socket can be made at ${socketPath}: ${reason}. Give another path.`);
  }
}

function sotwHandler(
  secrets: SdsServerOptions["secrets"],
  log: Logger,
): handleBidiStreamingCall<DiscoveryRequest, DiscoveryResponse> {
  return (call) => {
    const session = startSession(call, "sotw", secrets, log, ({ secrets: sent, version, nonce }) =>
      createMessage<DiscoveryResponse>(`${DISCOVERY}.DiscoveryResponse`, {
        typeUrl: TypeUrl.secret,
        versionInfo: version,
        nonce,
        resources: sent.map(({ bytes }) => ({ typeUrl: TypeUrl.secret, value: bytes })),
      }),
    );
    call.on("data", (request: DiscoveryRequest) => {
      if (request.errorDetail !== undefined) session.refused(request.errorDetail.message);
      session.subscription.setNames(request.resourceNames);
      session.follow();
    });
  };
}

function deltaHandler(
  secrets: SdsServerOptions["secrets"],
  log: Logger,
): handleBidiStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
  return (call) => {
    const session = startSession(call, "delta", secrets, log, ({ secrets: sent, removed, version, nonce }) =>
      createMessage<DeltaDiscoveryResponse>(`${DISCOVERY}.DeltaDiscoveryResponse`, {
        typeUrl: TypeUrl.secret,
        systemVersionInfo: version,
        nonce,
        removedResources: [...removed],
        resources: sent.map(({ name, version: own, bytes }) => ({
          name,
          version: own,
          resource: { typeUrl: TypeUrl.secret, value: bytes },
        })),
      }),
    );
    call.on("data", (request: DeltaDiscoveryRequest) => {
      if (request.errorDetail !== undefined) session.refused(request.errorDetail.message);
      for (const name of request.resourceNamesUnsubscribe) session.subscription.remove(name);
      for (const name of request.resourceNamesSubscribe) session.subscription.add(name);
      session.subscription.setInitialVersions(request.initialResourceVersions);
      session.follow();
    });
  };
}

interface Session {
  readonly subscription: SecretSubscription;
  /** Subscribes to what is wanted by now, and answers. */
  follow(): void;
  refused(reason: string): void;
}

function startSession<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
  mode: "delta" | "sotw",
  secrets: SdsServerOptions["secrets"],
  log: Logger,
  encode: (response: SecretResponse) => Response,
): Session {
  const subscription = new SecretSubscription(mode);
  const followed = new Map<string, { close(): void }>();
  let isAnswerDue = false;

  /** What changes together (a new root and the certificate under it) goes out together. */
  function answerSoon(): void {
    if (isAnswerDue) return;
    isAnswerDue = true;
    queueMicrotask(() => {
      isAnswerDue = false;
      if (call.destroyed || call.writableEnded) return;
      const response = subscription.next((name) => secrets.serves(name));
      if (response !== undefined) call.write(encode(response));
    });
  }

  function close(): void {
    for (const subscribed of followed.values()) subscribed.close();
    followed.clear();
  }

  call.on("end", () => {
    close();
    call.end();
  });
  call.on("cancelled", close);
  call.on("error", close);
  return {
    subscription,
    refused: (reason) => log.warning(`the proxy on the SDS socket refused a secret: ${reason}`),
    follow: () => {
      for (const [name, subscribed] of followed) {
        if (subscription.names.has(name)) continue;
        subscribed.close();
        followed.delete(name);
      }
      for (const name of subscription.names) {
        if (followed.has(name)) continue;
        if (!secrets.serves(name)) {
          log.warning(
            `the proxy on the SDS socket asks for the secret ${JSON.stringify(name)}, which is not served here`,
          );
          followed.set(name, { close: () => {} });
          continue;
        }
        const hear = secrets.subscribe(name, (secret) => {
          subscription.update(encodeSecret(name, secret));
          answerSoon();
        });
        followed.set(name, hear);
      }
      answerSoon();
    },
  };
}

function bidiMethod<Request extends Message, Response extends Message>(
  protocol: "delta" | "sotw",
  requestType: Request["$typeName"],
  responseType: Response["$typeName"],
): MethodDefinition<Request, Response> {
  const request = schema<Request>(requestType);
  const response = schema<Response>(responseType);
  const path = typeMethod(TypeUrl.secret, protocol);
  if (path === undefined) throw new Error("secrets have no discovery service");
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message) => Buffer.from(toBinary(request, message)),
    requestDeserialize: (bytes) => fromBinary(request, bytes) as Request,
    responseSerialize: (message) => Buffer.from(toBinary(response, message)),
    responseDeserialize: (bytes) => fromBinary(response, bytes) as Response,
  };
}
