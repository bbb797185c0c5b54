/** The flaky one: every fifth request fails with 503. The mesh retries, so that the shop's customers don't see it. */
import { me, serve } from "./service.ts";

let requests = 0;

serve(() => {
  requests += 1;
  if (requests % 5 === 0) return { status: 503, body: { from: me, error: "the label printer is jammed" } };
  return { status: 200, body: { from: me, days: 2 } };
});
