/** Which virtual host, which route. */
import type { Case } from "../harness/case.ts";
import { get, request, says } from "../harness/requests.ts";

export const virtualHostCases: readonly Case[] = [
  { name: "R-06: the default route forwards", exchanges: [get("/x?y", { "x-a": "1" })] },
  { name: "R-06: a body is forwarded", exchanges: [request("POST", "/p", {}, "body")] },
  {
    name: "R-10: a prefix",
    routes: [says("a", { prefix: "/a" })],
    exchanges: [get("/a"), get("/ab?x"), get("/b"), get("/A")],
  },
];
