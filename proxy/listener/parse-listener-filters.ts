/** `listener_filters` → what runs on an accepted connection. */
import type { Message } from "@bufbuild/protobuf";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  ListenerFilter,
  ListenerFilterChainMatchPredicate,
} from "#protos/gen/envoy/config/listener/v3/listener_components_pb.js";
import type { ProxyProtocol } from "#protos/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js";
import type { TlsInspector } from "#protos/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js";
import { MAX_CLIENT_HELLO_BYTES } from "./inspectors.ts";
import type { ListenerFilterKind, ListenerFilterModel } from "./model.ts";
import { parseProxyProtocolFilter } from "./proxy-protocol.ts";

export interface ListenerFilterSupport {
  /** False where the system can't tell where a connection was going. */
  readonly hasOriginalDestination: boolean;
  /** The bootstrap has the extension for them. */
  readonly hasInternalListeners: boolean;
}

type Predicate = (destinationPort: number) => boolean;

const PREFIX = "envoy.extensions.filters.listener.";

/** One filter; undefined when it has problems. */
export function parseListenerFilter(
  reader: MessageReader<ListenerFilter>,
  support: ListenerFilterSupport,
): ListenerFilterModel | undefined {
  const name = reader.get("name");
  const config = reader.get("configType");
  const disabled = reader.child("filterDisabled");
  const isDisabled = disabled === undefined ? never : parsePredicate(disabled);
  reader.finish();
  if (config.case !== "typedConfig") {
    if (config.case === undefined) reader.invalid("configType", `listener filter '${name}' has no typed_config`);
    else reader.unsupported("configType");
    return undefined;
  }
  const at = reader.at("configType");
  const opened = unpackAny(config.value, at);
  reader.problems.push(...opened.problems);
  const kind = opened.value === undefined ? undefined : parseKind(opened.value, name, at, reader, support);
  return kind === undefined || isDisabled === undefined ? undefined : { kind, isDisabled };
}

function parseKind(
  message: Message,
  name: string,
  at: string,
  reader: MessageReader<ListenerFilter>,
  support: ListenerFilterSupport,
): ListenerFilterKind | undefined {
  switch (message.$typeName) {
    case `${PREFIX}original_dst.v3.OriginalDst`:
      new MessageReader(message, at, reader.problems).finish();
      if (support.hasOriginalDestination) return { name: "original_dst" };
      reader.unsupported(
        "configType",
        "original_dst needs Linux's SO_ORIGINAL_DST, which this system does not have; use an interception mode without redirection",
      );
      return undefined;
    case `${PREFIX}http_inspector.v3.HttpInspector`:
      new MessageReader(message, at, reader.problems).finish();
      return { name: "http_inspector" };
    case `${PREFIX}tls_inspector.v3.TlsInspector`:
      return parseTlsInspector(new MessageReader(message as TlsInspector, at, reader.problems));
    case `${PREFIX}proxy_protocol.v3.ProxyProtocol`:
      return {
        name: "proxy_protocol",
        config: parseProxyProtocolFilter(new MessageReader(message as ProxyProtocol, at, reader.problems)),
      };
    default:
      reader.unsupported(
        "configType",
        `listener filter '${name}' of type ${message.$typeName} is not supported; supported are original_dst, proxy_protocol, tls_inspector and http_inspector`,
      );
      return undefined;
  }
}

function parseTlsInspector(reader: MessageReader<TlsInspector>): ListenerFilterKind {
  reader.ignore("initialReadBufferSize", "there is no buffer to size: what has arrived is looked at as it is");
  for (const field of ["enableJa3Fingerprinting", "enableJa4Fingerprinting"] as const)
    if (reader.get(field) === true) reader.unsupported(field);
  const kind: ListenerFilterKind = {
    name: "tls_inspector",
    maxClientHelloBytes: reader.get("maxClientHelloSize") ?? MAX_CLIENT_HELLO_BYTES,
    closesOnParseError: reader.get("closeConnectionOnClientHelloParsingErrors"),
  };
  reader.finish();
  return kind;
}

/** True nowhere. */
export const never: Predicate = () => false;

/** `filter_disabled`: true where the predicate matches. */
function parsePredicate(reader: MessageReader<ListenerFilterChainMatchPredicate>): Predicate | undefined {
  const rule = reader.get("rule");
  const at = reader.at("rule");
  reader.finish();
  switch (rule.case) {
    case "orMatch":
    case "andMatch": {
      const set = new MessageReader(rule.value, at, reader.problems);
      const rules = set.children("rules").map((child) => parsePredicate(child));
      set.finish();
      const known = rules.filter((predicate) => predicate !== undefined);
      if (known.length < rules.length) return undefined;
      return rule.case === "orMatch"
        ? (port) => known.some((predicate) => predicate(port))
        : (port) => known.every((predicate) => predicate(port));
    }
    case "notMatch": {
      const inner = parsePredicate(new MessageReader(rule.value, at, reader.problems));
      return inner === undefined ? undefined : (port) => !inner(port);
    }
    case "anyMatch":
      return () => true;
    case "destinationPortRange": {
      const { start, end } = rule.value;
      return (port) => port >= start && port < end;
    }
    case undefined:
      reader.invalid("rule", "filter_disabled has no rule");
      return undefined;
  }
}
