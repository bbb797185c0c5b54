/** `envoy.extensions.internal_redirect.*`: which internal redirects are followed. */
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { AllowListedRoutesConfig } from "#protos/gen/envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config_pb.js";
import type { RedirectPredicate } from "./types.ts";

const packages = "envoy.extensions.internal_redirect";

/** Reads one; undefined when it has problems, which are on the reader's list. */
export function parseRedirectPredicate(reader: MessageReader<TypedExtensionConfig>): RedirectPredicate | undefined {
  const config = reader.get("typedConfig");
  const at = reader.at("typedConfig");
  reader.ignore("name", "a label; the type decides");
  reader.finish();
  const opened = config === undefined ? undefined : unpackAny(config, at);
  if (opened?.value === undefined) {
    reader.problems.push(...(opened?.problems ?? []));
    if (opened === undefined) reader.invalid("typedConfig", "a predicate needs its configuration");
    return undefined;
  }
  const message = opened.value;
  switch (message.$typeName as string) {
    case `${packages}.allow_listed_routes.v3.AllowListedRoutesConfig`: {
      const inner = new MessageReader(message as AllowListedRoutesConfig, at, reader.problems);
      const names = new Set(inner.get("allowedRouteNames"));
      inner.finish();
      return ({ to }) => names.has(to);
    }
    case `${packages}.safe_cross_scheme.v3.SafeCrossSchemeConfig`:
      return ({ wasHttps, isHttps }) => wasHttps || !isHttps;
    case `${packages}.previous_routes.v3.PreviousRoutesConfig`:
      return ({ from, to, visited }) => visited.get(from)?.has(to) !== true;
    default:
      reader.unsupported("typedConfig", `the predicate ${message.$typeName} is not supported by this proxy`);
      return undefined;
  }
}
