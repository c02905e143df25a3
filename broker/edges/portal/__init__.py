"""The access portal's two services, ``/sso-oidc`` and ``/sso``: rest-json, unsigned."""
