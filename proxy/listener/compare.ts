/** Whether two versions of a listener differ, and in what. */
import { toBinary } from "@bufbuild/protobuf";
import { schema } from "#protos/registry.ts";
import type { FilterChain } from "#protos/gen/envoy/config/listener/v3/listener_components_pb.js";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";

function bytesOf(message: Listener): Uint8Array {
  return toBinary(schema<Listener>("envoy.config.listener.v3.Listener"), message);
}

/** The same, to the byte. */
export function isSame(a: Listener, b: Listener): boolean {
  return a === b || Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

/** an update that can be made in place. */
export function differsOnlyInChains(a: Listener, b: Listener): boolean {
  if (a.filterChains.length === 0 || b.filterChains.length === 0) return false;
  const bare = (listener: Listener): Listener => ({
    ...listener,
    filterChains: [],
    defaultFilterChain: undefined,
    filterChainMatcher: undefined,
  });
  return isSame(bare(a), bare(b));
}

/** A chain that an update in place keeps, with its connections. */
export function isSameChain(a: FilterChain, b: FilterChain): boolean {
  const type = schema<FilterChain>("envoy.config.listener.v3.FilterChain");
  return a === b || Buffer.compare(toBinary(type, a), toBinary(type, b)) === 0;
}
