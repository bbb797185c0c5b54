/** stateful_session. */
import { withId } from "../harness/bootstrap.ts";
import type { BackendName, Case, Exchange, Json } from "../harness/case.ts";
import { exchangeRaw, openPlain } from "../harness/client.ts";
import { cluster, filter, forward, get } from "../harness/requests.ts";
import { http, before, perRoute } from "./filters-shared.ts";

const states = "type.googleapis.com/envoy.extensions.http.stateful_session";

const cookieState = (cookie: Json): Json => ({
  name: "envoy.http.stateful_session.cookie",
  typed_config: { "@type": `${states}.cookie.v3.CookieBasedSessionState`, cookie },
});

const headerState: Json = {
  name: "envoy.http.stateful_session.header",
  typed_config: { "@type": `${states}.header.v3.HeaderBasedSessionState`, name: "x-session" },
};

/** Asks for a backend by its address, in the header or cookie that `field` makes of it. */
function asksFor(
  backend: BackendName | undefined,
  field: (value: string) => Readonly<Record<string, string>>,
  path = "/",
): Exchange {
  return {
    kind: "own",
    run(side, id) {
      const port = backend === undefined ? 1 : side.recorder.ports.get(backend);
      const value = Buffer.from(`127.0.0.1:${port}`).toString("base64");
      const one = withId(get(path, field(value)), id);
      return exchangeRaw(one, () => openPlain(side.port(id)));
    },
  };
}

const inHeader = (value: string): Readonly<Record<string, string>> => ({ "x-session": value });

const inCookie = (value: string): Readonly<Record<string, string>> => ({ cookie: `a=b; sess="${value}"` });

function session(name: string, fields: Json, exchanges: readonly Exchange[], more: Partial<Case> = {}): Case {
  return {
    name: `stateful_session: ${name}`,
    manager: before(filter("ss", `${http}.stateful_session.v3.StatefulSession`, { stat_prefix: "s", ...fields })),
    clusters: { "": cluster(["a", "b"]) },
    exchanges,
    ...more,
    blur: [
      [/x-session: [A-Za-z0-9+/=]+/g, "x-session: S"],
      [/sess="[A-Za-z0-9+/=]+"/g, 'sess="S"'],
    ],
  };
}

export const sessionCases: readonly Case[] = [
  session("a header", { session_state: headerState }, [
    asksFor("b", inHeader),
    asksFor("b", inHeader),
    asksFor("a", inHeader),
  ]),
  session("a cookie", { session_state: cookieState({ name: "sess" }) }, [
    asksFor("b", inCookie),
    asksFor("b", inCookie),
    asksFor("a", inCookie),
  ]),
  session("a new session by a header", { session_state: headerState }, [get()], { clusters: { "": cluster("a") } }),
  session(
    "a new session by a cookie",
    { session_state: cookieState({ name: "sess", path: "/p", ttl: "60s" }) },
    [get("/p"), get("/p/x?y"), get("/px"), get("/p?q")],
    { clusters: { "": cluster("a") } },
  ),
  session("a host that is not there", { session_state: headerState }, [asksFor(undefined, inHeader)], {
    clusters: { "": cluster("a") },
  }),
  session(
    "a host that is not there, strict",
    { strict: true, session_state: headerState },
    [asksFor(undefined, inHeader), asksFor("b", inHeader), get("/", { "x-session": "no base64!" })],
    { clusters: { "": cluster("a") } },
  ),
  session(
    "strict, with a status of its own",
    { strict: true, status_on_strict_destination_not_found: 421, session_state: headerState },
    [asksFor(undefined, inHeader)],
    { clusters: { "": cluster("a") } },
  ),
  session("a route without", { session_state: headerState }, [asksFor("b", inHeader)], {
    clusters: { "": cluster("a") },
    routes: [forward({}, perRoute("ss", `${http}.stateful_session.v3.StatefulSessionPerRoute`, { disabled: true }))],
  }),
  session("a route with another", { session_state: headerState }, [asksFor("b", inCookie), asksFor("b", inCookie)], {
    routes: [
      forward(
        {},
        perRoute("ss", `${http}.stateful_session.v3.StatefulSessionPerRoute`, {
          stateful_session: { session_state: cookieState({ name: "sess" }) },
        }),
      ),
    ],
  }),
  session("no state at all", {}, [get()], { clusters: { "": cluster("a") } }),
];
