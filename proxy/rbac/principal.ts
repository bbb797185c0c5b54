/** `envoy.config.rbac.v3.Principal` → a test of who asks. */
import type { PeerCertificate } from "#lib/connection.ts";
import type { Principal, Principal_Authenticated, Principal_Set } from "#protos/gen/envoy/config/rbac/v3/rbac_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { parseHeaderMatcher } from "../router/header-matcher.ts";
import type { RegexCache } from "../router/regex.ts";
import { parseFilterState } from "../router/route-match.ts";
import { parseStringMatcher, type StringMatcher } from "../router/string-matcher.ts";
import type { StreamInfo } from "../stream-info.ts";
import {
  allOf,
  always,
  anyOf,
  complete,
  type Condition,
  negated,
  parseIpCondition,
  parseMetadataCondition,
  parsePathCondition,
  parseSourcedMetadata,
} from "./condition.ts";

/** Undefined when it has problems, which are on the reader's list. */
export function parsePrincipal(reader: MessageReader<Principal>, regexes: RegexCache): Condition | undefined {
  const id = reader.get("identifier");
  reader.finish();
  switch (id.case) {
    case "any":
      if (!id.value) reader.invalid("identifier", "`any` can only be true");
      return id.value ? always : undefined;
    case "andIds": {
      const conditions = parseSet(reader.oneof("identifier", id.value), regexes);
      return conditions === undefined ? undefined : allOf(conditions);
    }
    case "orIds": {
      const conditions = parseSet(reader.oneof("identifier", id.value), regexes);
      return conditions === undefined ? undefined : anyOf(conditions);
    }
    case "notId":
      return negated(parsePrincipal(reader.oneof("identifier", id.value), regexes));
    case "authenticated":
      return parseAuthenticated(reader.oneof("identifier", id.value), regexes);
    case "directRemoteIp":
      return parseIpCondition(reader.oneof("identifier", id.value), directIp);
    case "sourceIp":
      return parseIpCondition(reader.oneof("identifier", id.value), peerIp);
    case "remoteIp":
      return parseIpCondition(reader.oneof("identifier", id.value), clientIp);
    case "header":
      return parseHeaderMatcher(reader.oneof("identifier", id.value), regexes);
    case "urlPath":
      return parsePathCondition(reader.oneof("identifier", id.value), regexes);
    case "metadata":
      return parseMetadataCondition(reader.oneof("identifier", id.value), regexes);
    case "sourcedMetadata":
      return parseSourcedMetadata(reader.oneof("identifier", id.value), regexes);
    case "filterState": {
      const test = parseFilterState(reader.oneof("identifier", id.value), regexes);
      return test === undefined ? undefined : (_headers, info) => test(info.filterState);
    }
    case "custom":
      reader.unsupported("identifier", `the principal extension ${id.value.name} is not supported by this proxy`);
      return undefined;
    case undefined:
      reader.invalid("identifier", "a principal needs an identifier");
      return undefined;
  }
}

function parseSet(reader: MessageReader<Principal_Set>, regexes: RegexCache): readonly Condition[] | undefined {
  const ids = reader.children("ids");
  reader.finish();
  if (ids.length === 0) {
    reader.invalid("ids", "a set needs at least one identifier");
    return undefined;
  }
  return complete(ids.map((id) => parsePrincipal(id, regexes)));
}

/**
 * URI names of the peer's certificate, then its DNS names, then its subject. Differs from Envoy: only a certificate
 * that was verified names anybody; Envoy believes any certificate that its transport socket lets through.
 */
function parseAuthenticated(
  reader: MessageReader<Principal_Authenticated>,
  regexes: RegexCache,
): Condition | undefined {
  const name = reader.child("principalName");
  reader.finish();
  if (name === undefined) return (_headers, info) => info.connection?.tls !== undefined;
  const test = parseStringMatcher(name, regexes);
  if (test === undefined) return undefined;
  // A workload's certificate is seen in many requests: its names are tried once.
  const known = new WeakMap<PeerCertificate, boolean>();
  return (_headers, info) => {
    const tls = info.connection?.tls;
    if (tls === undefined) return false;
    const { peer } = tls;
    if (peer?.verified !== true) return test("");
    let answer = known.get(peer);
    if (answer === undefined) {
      answer = isNamed(peer, test);
      known.set(peer, answer);
    }
    return answer;
  };
}

function isNamed(peer: PeerCertificate, test: StringMatcher): boolean {
  return peer.uriSans.some(test) || peer.dnsSans.some(test) || test(peer.subject);
}

/** The other end itself, whatever a PROXY header said. */
function directIp({ connection }: StreamInfo): string | undefined {
  const remote = connection?.directRemoteAddress ?? connection?.remoteAddress;
  return remote?.kind === "ip" ? remote.address : undefined;
}

/** The other end of the connection, or whom its PROXY header names. */
function peerIp(info: StreamInfo): string | undefined {
  const remote = info.connection?.remoteAddress;
  return remote?.kind === "ip" ? remote.address : undefined;
}

/** The client that x-forwarded-for names where it is trusted, else the other end. */
function clientIp(info: StreamInfo): string | undefined {
  const text = info.downstreamRemoteAddress;
  if (text === "") return peerIp(info);
  return text.startsWith("[") ? text.slice(1, text.indexOf("]")) : text.slice(0, text.lastIndexOf(":"));
}
