/** Starts the copies of a request that its route asks for. */
import type { ForwardRoute } from "../../../router/types.ts";
import type { FilterStream } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import type { RouterContext } from "./router.ts";
import { shadowAuthority, ShadowRequest } from "./shadow-request.ts";

/** The copies that still want the body; undefined when none was started. */
export function startShadows(
  route: ForwardRoute,
  headers: HeaderMap,
  stream: FilterStream,
  { factory }: RouterContext,
  timeoutMs: number,
  isComplete: boolean,
): ShadowRequest[] | undefined {
  if (headers.method === "CONNECT") return undefined;
  let shadows: ShadowRequest[] | undefined;
  for (const policy of route.mirrors) {
    if (!policy.shouldMirror(stream.streamRandom, stream.runtimeSnapshot)) continue;
    const name = policy.clusterName !== "" ? policy.clusterName : (headers.get(policy.clusterHeader) ?? "");
    const cluster = factory.clusters.get(name);
    if (cluster === undefined) continue;
    const copy = headers.copy();
    if (policy.hostRewrite !== "") copy.authority = policy.hostRewrite;
    else if (!policy.disableShadowHostSuffix) copy.authority = shadowAuthority(copy.authority);
    policy.mutations?.apply(copy, { info: stream.info, requestHeaders: copy });
    copy.set("x-envoy-internal", "true");
    appendForwardedFor(copy, factory.runtime.network.hostAddress);
    const shadow = new ShadowRequest(cluster, copy);
    if (isComplete) shadow.complete();
    shadow.start(route.priority, stream.info.protocol, timeoutMs, factory.runtime);
    (shadows ??= []).push(shadow);
  }
  return shadows;
}

/** The copy is a request of this proxy's own. */
function appendForwardedFor(headers: HeaderMap, address: string): void {
  const before = headers.getJoined("x-forwarded-for");
  headers.set("x-forwarded-for", before === undefined ? address : `${before},${address}`);
}
