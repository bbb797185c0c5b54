/** Where each kind of secret of one proxy comes from. */
import { formatProblem, type Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import type { BootstrapModel } from "../bootstrap/model.ts";
import { composeSecrets, parseSecret, sdsSecrets, staticSecrets } from "../tls/secret-providers.ts";
import type { Secret, SecretProvider } from "../tls/types.ts";
import { TypeUrl, type XdsClient } from "../xds/types.ts";
import type { XdsSources } from "../xds/sources.ts";

/** The cluster whose secrets the identity serves in the process (Istio's agent). */
const IDENTITY_CLUSTER = "sds-grpc";

export interface ServerSecretsDeps {
  readonly runtime: Runtime;
  readonly bootstrap: BootstrapModel;
  readonly identity: SecretProvider | undefined;
  /** Loads what speaks gRPC when it is first asked for. */
  readonly sources: () => Promise<XdsSources>;
  /** The aggregated stream; undefined: there is none. */
  readonly ads: () => XdsClient | undefined;
}

/** Problems are those of `static_resources.secrets`. */
export function createServerSecrets(deps: ServerSecretsDeps): {
  readonly provider: SecretProvider;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const fixed = new Map<string, Secret>();
  for (const [index, message] of deps.bootstrap.secrets.entries()) {
    const parsed = parseSecret(message, `static_resources.secrets[${index}]`);
    problems.push(...parsed.problems);
    if (parsed.value !== undefined) fixed.set(message.name, parsed.value);
  }
  const provider = composeSecrets(deps.runtime, {
    fixed: staticSecrets(fixed),
    ads: {
      subscribe(name, onUpdate, source, wait) {
        const ads = deps.ads();
        return ads === undefined ? { close() {} } : sdsSecrets(ads).subscribe(name, onUpdate, source, wait);
      },
    },
    grpc: (cluster) => grpcSecrets(cluster, deps),
    path: (path) => sourceSecrets({ path_config_source: { path } }, deps),
  });
  return { provider, problems };
}

function grpcSecrets(cluster: string, deps: ServerSecretsDeps): SecretProvider {
  const { identity } = deps;
  return identity !== undefined && cluster === IDENTITY_CLUSTER ? identity : sourceSecrets(grpcSource(cluster), deps);
}

/** A `config_source` in proto3 JSON. */
type SourceJson = Readonly<Record<string, unknown>>;

/** SDS from a file, or from a server of its own. */
function sourceSecrets(json: SourceJson, { runtime, sources }: ServerSecretsDeps): SecretProvider {
  return {
    subscribe(name, onUpdate, source, wait) {
      let isClosed = false;
      let subscription: { close(): void } | undefined;
      const open = async (): Promise<void> => {
        const opened = (await sources()).open(sourceMessage(json), TypeUrl.secret, `secret ${name}`);
        const client = opened.value?.client;
        if (client === undefined)
          runtime.log.child("secret").error(`secret ${name}: ${opened.problems.map(formatProblem).join("; ")}`);
        else if (!isClosed) subscription = sdsSecrets(client).subscribe(name, onUpdate, source, wait);
      };
      open().catch((error: unknown) => runtime.log.child("secret").error(`secret ${name}: ${String(error)}`));
      return {
        close() {
          isClosed = true;
          subscription?.close();
        },
      };
    },
  };
}

function grpcSource(cluster: string): SourceJson {
  return {
    api_config_source: {
      api_type: "GRPC",
      transport_api_version: "V3",
      set_node_on_first_message_only: true,
      grpc_services: [{ envoy_grpc: { cluster_name: cluster } }],
    },
  };
}

function sourceMessage(json: SourceJson): ConfigSource {
  const { value, problems } = messageFromJson("envoy.config.core.v3.ConfigSource", {
    ...json,
    resource_api_version: "V3",
  });
  if (value === undefined) throw new Error(problems.map(formatProblem).join("; "));
  return value as ConfigSource;
}
