"""The one client to the Hub: what is asked, how often, and what its errors mean."""
