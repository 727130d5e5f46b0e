/** The addresses of pages: the client's router shows them, and the server answers nothing else with the client. */
export const PAGES = {
  dashboard: "/",
  login: "/login",
  tracer: "/tracer",
  policy: "/policy",
  users: "/users",
  profile: "/profile",
} as const;
