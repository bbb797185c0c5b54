/** Every listener that a current istiod sends is taken, but for what is refused by name on purpose. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import { createConnectionManagerFactory } from "../http/connection-manager.ts";
import { standardHttpFilters } from "../http/filters/standard-filters.ts";
import { builtInNetworkFilters } from "../network/built-in.ts";
import { createNetworkFilterRegistry } from "../network/registry.ts";
import { istioStatsTcp } from "../observability/istio-stats/network-filter.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { createTracingFactory } from "../observability/tracing/tracing.ts";
import { createTransportFactory } from "../tls/transport-factory.ts";
import { parseListener } from "./parse-listener.ts";

const folder = join(import.meta.dirname, "../../../shared/oracle");

/** Extensions that this proxy does not have (yet) and refuses by name. */
const REFUSED: readonly RegExp[] = [
  /^network filter '.+' of type \S+\.(rbac\.v3\.RBAC|ext_authz\.v3\.ExtAuthz|mongo_proxy\.v3\.MongoProxy) is not supported/,
  /^HTTP filter \S+ \(\S+\.(rbac\.v3\.RBAC|ext_authz\.v3\.ExtAuthz|jwt_authn\.v3\.JwtAuthentication|lua\.v3\.Lua|grpc_web\.v3\.GrpcWeb)\) is not supported/,
  /^access log \S+\.(OpenTelemetryAccessLogConfig|HttpGrpcAccessLogConfig|TcpGrpcAccessLogConfig) is not supported/,
];

if (!existsSync(folder)) console.log("skipped: the oracle folder is not beside the checkout");

describe.skipIf(!existsSync(folder))("the oracle folder beside the checkout", () => {
  const runtime = simulatedRuntime();
  const store = createStatsStore();
  const filters = createNetworkFilterRegistry([
    createConnectionManagerFactory({ filters: standardHttpFilters(), tracing: createTracingFactory() }),
    ...builtInNetworkFilters,
    istioStatsTcp,
  ]);
  const transports = createTransportFactory({
    runtime,
    secrets: { subscribe: () => ({ close() {} }) },
    scope: store.root,
  });
  const cases = existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
    : [];

  test.each(cases)("%s", (name) => {
    for (const file of readdirSync(join(folder, name))) {
      if (!file.endsWith(".json") || ["validate.json", "status.json", "analyze.json"].includes(file)) continue;
      const { listeners = [] } = JSON.parse(readFileSync(join(folder, name, file), "utf8")) as {
        listeners?: readonly { readonly name: string }[];
      };
      for (const json of listeners) {
        const read = messageFromJson("envoy.config.listener.v3.Listener", json);
        expect(read.problems, `${file} ${json.name}`).toEqual([]);
        const { value, problems } = parseListener(read.value as Listener, {
          filters,
          hasOriginalDestination: true,
          hasInternalListeners: true,
        });
        const unexpected = problems.filter(({ message }) => !REFUSED.some((pattern) => pattern.test(message)));
        expect(unexpected, `${file} ${json.name}`).toEqual([]);
        for (const chain of value?.filterChains ?? [])
          expect(transports.downstream(chain.transportSocket, chain.transportSocketPath).problems).toEqual([]);
      }
    }
  });
});
